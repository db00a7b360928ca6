package refresh

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"microagent/plan/observed"
	"microagent/runtime/driver"
)

// applied is the engine's own form of a workspace as its record keeps it, beside the driver's. What a variable of the
// environment is stands in the driver's form alone, which has the image's as well; here are the names of those that were
// declared. A record of f365b52 has the values here too, and no names.
type applied struct {
	observed.WorkspaceSpec
	EnvNames []string `json:"env_names,omitempty"`
}

// Record puts the engine's form of a workspace into the spec that a driver is to record.
func Record(want observed.WorkspaceSpec, in *driver.WorkspaceSpec) error {
	form := applied{want, slices.Sorted(maps.Keys(want.Env))}
	form.Env = nil
	data, err := json.Marshal(form)
	in.Applied = data
	return err
}

// Applied is the engine's form of a recorded workspace. It is an error when the workspace was made by an engine with
// another form.
func Applied(recorded driver.WorkspaceSpec) (observed.WorkspaceSpec, error) {
	var form applied
	if err := json.Unmarshal(recorded.Applied, &form); err != nil {
		return observed.WorkspaceSpec{}, fmt.Errorf("read applied spec of workspace %s: %w", recorded.Name, err)
	}
	want := form.WorkspaceSpec
	want.Name, want.Project = recorded.Name, recorded.Project // which it may have got since
	if len(form.EnvNames) > 0 {
		want.Env = map[string]string{}
	}
	for _, name := range form.EnvNames {
		if value, ok := recorded.Process.Env[name]; ok {
			want.Env[name] = value
		}
	}
	return want, nil
}
