package plan_test

import (
	"reflect"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/plan/render"
	"microagent/schema"
	"microagent/schema/spec"
)

func specFields() map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[observed.WorkspaceSpec]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); !f.Anonymous {
			fields[name] = f
		}
	}
	return fields
}

func TestPolicyCoversEveryField(t *testing.T) {
	fields := specFields()
	for name := range fields {
		if _, ok := observed.WorkspacePolicy[name]; !ok {
			t.Errorf("field %s of WorkspaceSpec has no policy", name)
		}
	}
	for name := range observed.WorkspacePolicy {
		if _, ok := fields[name]; !ok {
			t.Errorf("policy of %s, which is no field of WorkspaceSpec", name)
		}
	}
}

// altered gives a spec in which the field differs from the one in running.
func altered(t *testing.T, spec observed.WorkspaceSpec, field reflect.StructField) observed.WorkspaceSpec {
	v := reflect.ValueOf(&spec).Elem().FieldByIndex(field.Index)
	switch v.Kind() {
	case reflect.String:
		v.SetString("another")
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1<<20)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"NEW": "1"}))
	case reflect.Slice:
		one := reflect.New(v.Type().Elem()).Elem()
		switch one.Kind() {
		case reflect.String:
			one.SetString("another")
		case reflect.Struct:
			if s := one.FieldByName("Source"); s.IsValid() {
				s.SetString("id")
			}
			for _, names := range [][]string{{"Path"}, {"Name"}, {"Workspace", "Until"}} {
				if !one.FieldByName(names[0]).IsValid() {
					continue
				}
				for _, name := range names {
					one.FieldByName(name).SetString("/another")
				}
				break
			}
		}
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), one))
	case reflect.Pointer:
		one := reflect.New(v.Type().Elem())
		if f := one.Elem().FieldByName("File"); f.IsValid() {
			f.SetString("/another")
		}
		v.Set(one)
	default:
		t.Fatalf("field %s has kind %s, which this test does not know", field.Name, v.Kind())
	}
	return spec
}

// TestPolicyIsFollowed changes one recorded field after another under a running workspace and sees that the plan does
// what the table says.
func TestPolicyIsFollowed(t *testing.T) {
	m := load(t, "project: p\nworkspaces:\n  x:\n    image: alpine\n    service: [run]\n")
	want := map[observed.Effect]plan.Action{
		observed.EffectCosmetic: plan.ActionUpdate, observed.EffectLive: plan.ActionUpdate,
		observed.EffectRestart: plan.ActionRestart, observed.EffectReplace: plan.ActionReplace,
		observed.EffectGrowOnly: plan.ActionReplace, // altered made the recorded one larger
		observed.EffectComes:    plan.ActionRestart, // or goes
		observed.EffectNext:     plan.ActionRestart, // of a service
		observed.EffectPlug:     plan.ActionRestart, // of a guest that can't
		observed.EffectSize:     plan.ActionRestart, // likewise
	}
	for name, field := range specFields() {
		policy := observed.WorkspacePolicy[name]
		if policy.Effect == observed.EffectIdentity {
			continue
		}
		s := newSim(t)
		p, list := plan.Make(m, s.observe(m), plan.Options{})
		if list.Errors() {
			t.Fatal(list.Err())
		}
		s.apply(p)
		w := s.observe(m)
		ws := w.Workspaces["p.x"]
		ws.Spec = altered(t, ws.Spec, field)
		w.Workspaces["p.x"] = ws
		p, _ = plan.Make(m, w, plan.Options{})
		c := find(p, "workspace/x")
		if c == nil || c.Action != want[policy.Effect] || len(c.Fields) == 0 {
			t.Errorf("%s is %s, and the plan says %+v", name, policy.Effect, c)
		}
	}
}

func find(p *plan.Plan, address string) *plan.Change {
	for i := range p.Changes {
		if p.Changes[i].Address.String() == address {
			return &p.Changes[i]
		}
	}
	return nil
}

func TestRunKeyFollowsPolicy(t *testing.T) {
	spec := observed.WorkspaceSpec{Name: "p.x", ImageDigest: "sha256:1", Mode: "task", DiskSize: 1, CPUs: 1}
	key, err := plan.RunKey(spec, "root")
	if err != nil || !strings.HasPrefix(key, "v1:sha256:") {
		t.Fatal(key, err)
	}
	for name, field := range specFields() {
		other, err := plan.RunKey(altered(t, spec, field), "root")
		if err != nil {
			t.Fatal(err)
		}
		if (other != key) != observed.WorkspacePolicy[name].RunKey {
			t.Errorf("%s: policy says run key %v, the key differs: %v", name, observed.WorkspacePolicy[name].RunKey, other != key)
		}
	}
	if other, _ := plan.RunKey(spec, "other"); other == key {
		t.Error("the key does not depend on the root file system")
	}
	empty := spec
	empty.Argv, empty.Env = []string{}, map[string]string{}
	if other, _ := plan.RunKey(empty, "root"); other != key {
		t.Error("an empty list and none have different keys")
	}
}

// TestRunKeyIsStable holds the format: run keys are kept with runs, and another form of the same input would let every
// task run again after an upgrade.
func TestRunKeyIsStable(t *testing.T) {
	spec := observed.WorkspaceSpec{
		ImageDigest: "sha256:1", Argv: []string{"a", "<b>"}, Guest: spec.Guest{Env: map[string]string{"K": "v", "A": "b"}, User: "u", Workdir: "/w"},
		Mounts: []spec.Mount{
			{Path: "/b", Kind: "bundle", Name: "b", Source: "sha256:2", ReadOnly: true},
			{Path: "/d", Kind: "disk", Name: "d", Source: "/x.ext4", DiskID: "8:1"},
			{Path: "/v", Kind: "volume", Name: "p.v", Source: "id", Owner: "1:1", Mode: 0o700},
		},
	}
	key, err := plan.RunKey(spec, "root")
	const want = "v1:sha256:88aee80d32512cfe7f83d5acf561b4d25fbcf1da8670a0b1a8213f70c1d191d9"
	if err != nil || key != want {
		t.Errorf("got %s, want %s: %v", key, want, err)
	}
}

func TestRunKeyNamesTheMissingPart(t *testing.T) {
	whole := observed.WorkspaceSpec{Name: "p.x", ImageDigest: "sha256:1"}
	volume := whole
	volume.Mounts = []spec.Mount{{Path: "/v", Kind: "volume", Name: "p.v"}}
	for _, c := range []struct {
		spec observed.WorkspaceSpec
		root string
		want string
	}{
		{observed.WorkspaceSpec{Name: "p.x"}, "r", "run key of workspace p.x: image digest is not known yet"},
		{whole, "", "run key of workspace p.x: id of the root file system is not known yet"},
		{volume, "r", "run key of workspace p.x: id of volume p.v is not known yet"},
	} {
		if _, err := plan.RunKey(c.spec, c.root); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestDestroyKeepsEveryVolume(t *testing.T) {
	m := load(t, "project: p\nvolumes: {a: {size: 8MiB}, b: {size: 8MiB, protected: true}}\nbundles: {c: {source: ./c}}\n"+
		"workspaces:\n  x:\n    image: alpine\n    mounts: {/a: {volume: a}, /c: {bundle: c}}\n")
	s := newSim(t)
	s.volumes["other.v"] = observed.Volume{ID: "o", Project: "other"}
	s.workspaces["bare"] = observed.Workspace{Spec: observed.WorkspaceSpec{Name: "bare"}}
	p, _ := plan.Make(m, s.observe(m), plan.Options{})
	s.apply(p)
	p, list := plan.Destroy("p", s.observe(m), plan.Options{})
	if list.Errors() {
		t.Fatal(list.Err())
	}
	checkPlan(t, p)
	var out strings.Builder
	if err := render.Text(&out, p, render.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"microagent volume delete p.a", "microagent volume delete p.b"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, out.String())
		}
	}
	s.apply(p)
	if len(s.volumes) != 3 || len(s.workspaces) != 1 || len(s.bundles) != 0 {
		t.Errorf("left: %v %v %v", s.volumes, s.workspaces, s.bundles)
	}
	if p, _ := plan.Destroy("p", s.observe(&schema.Manifest{Project: "p"}), plan.Options{}); !p.Empty() {
		t.Error("a second destroy has something to do")
	}
}
