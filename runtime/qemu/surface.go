package qemu

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"microagent/ch/api"
)

const basePath = "/api/v1/"

// maxBody bounds a request's body.
const maxBody = 4 << 20

// routes lists each endpoint with its method and the shape of its body; nil for one that takes none.
var routes = map[string]struct {
	method string
	body   reflect.Type
}{
	"vmm.ping":         {http.MethodGet, nil},
	"vmm.shutdown":     {http.MethodPut, nil},
	"vm.create":        {http.MethodPut, reflect.TypeFor[api.VmConfig]()},
	"vm.delete":        {http.MethodPut, nil},
	"vm.boot":          {http.MethodPut, nil},
	"vm.shutdown":      {http.MethodPut, nil},
	"vm.reboot":        {http.MethodPut, nil},
	"vm.pause":         {http.MethodPut, nil},
	"vm.resume":        {http.MethodPut, nil},
	"vm.power-button":  {http.MethodPut, nil},
	"vm.nmi":           {http.MethodPut, nil},
	"vm.info":          {http.MethodGet, nil},
	"vm.counters":      {http.MethodGet, nil},
	"vm.resize":        {http.MethodPut, reflect.TypeFor[api.VmResize]()},
	"vm.resize-disk":   {http.MethodPut, reflect.TypeFor[api.VmResizeDisk]()},
	"vm.add-disk":      {http.MethodPut, reflect.TypeFor[api.DiskConfig]()},
	"vm.add-vsock":     {http.MethodPut, reflect.TypeFor[api.VsockConfig]()},
	"vm.remove-device": {http.MethodPut, reflect.TypeFor[api.VmRemoveDevice]()},
	"vm.snapshot":      {http.MethodPut, reflect.TypeFor[api.VmSnapshotConfig]()},
	"vm.restore":       {http.MethodPut, reflect.TypeFor[api.RestoreConfig]()},
}

// foreign are the endpoints of the real program that can't be served here.
var foreign = []string{
	"vm.add-device", "vm.add-user-device", "vm.add-fs", "vm.add-generic-vhost-user", "vm.add-net", "vm.add-pmem",
	"vm.add-vdpa", "vm.resize-zone", "vm.receive-migration", "vm.send-migration",
}

// newHandler is the HTTP surface over s: it answers what never reaches a call, in the way and with the status
// that the real program has, and hands on the rest.
func newHandler(s api.StrictServerInterface) http.Handler {
	options := api.StrictHTTPServerOptions{
		RequestErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) {
			answer(w, asFailure(fmt.Errorf("%w", err), http.StatusBadRequest))
		},
		ResponseErrorHandlerFunc: func(w http.ResponseWriter, _ *http.Request, err error) {
			answer(w, asFailure(err, http.StatusInternalServerError))
		},
	}
	inner := api.HandlerWithOptions(api.NewStrictHandlerWithOptions(s, nil, options), api.StdHTTPServerOptions{BaseURL: strings.TrimSuffix(basePath, "/")})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "Cloud Hypervisor API")
		endpoint, ok := strings.CutPrefix(r.URL.Path, basePath)
		if r.URL.RawQuery != "" || !ok {
			endpoint = ""
		}
		for _, name := range foreign {
			if name == endpoint && r.Method == http.MethodPut {
				answer(w, &failure{http.StatusInternalServerError, append([]string{"Error from API", "Not available"}, chainOf(unsupported(name))...)})
				return
			}
		}
		route, known := routes[endpoint]
		if !known {
			answer(w, &failure{http.StatusNotFound, []string{"Not Found"}})
			return
		}
		if r.Method != route.method {
			bad(w, r.Method == http.MethodPatch)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			answer(w, &failure{http.StatusBadRequest, []string{"Bad Request"}})
			return
		}
		r = r.Clone(r.Context())
		switch {
		case route.body == nil && len(body) > 0 && r.Method == http.MethodPut, route.body != nil && len(body) == 0:
			bad(w, endpoint == "vm.create")
			return
		case route.body != nil:
			if err := checkBody(body, route.body); err != nil {
				answer(w, &failure{http.StatusBadRequest, []string{"Failed to deserialize JSON", err.Error()}})
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), unsupportedKey{}, findUnsupported(body)))
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		inner.ServeHTTP(w, r)
	})
}

// bad answers a request that is none. The real program leaves the body out in two cases.
func bad(w http.ResponseWriter, empty bool) {
	if empty {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer(w, &failure{http.StatusBadRequest, []string{"Bad Request"}})
}

func answer(w http.ResponseWriter, f *failure) {
	body, err := json.Marshal(f.chain)
	if err != nil {
		panic(err) // a list of strings always encodes
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // a client that is gone gets no answer
}

// checkBody refuses what the real program's parser refuses and Go's takes: a missing field, a null where a
// value must be, a value that an enumeration does not have.
func checkBody(body []byte, shape reflect.Type) error {
	value := reflect.New(shape)
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(value.Interface()); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("trailing characters")
	}
	return checkValue(body, shape)
}

// optionalNumbers are the optional values that may also be null; other numbers and truth values may be absent,
// and never null.
var optionalNumbers = map[string]bool{"hotplug_size": true, "pci_device_id": true, "desired_vcpus": true, "desired_ram": true, "desired_balloon": true}

func checkValue(raw json.RawMessage, shape reflect.Type) error {
	for shape.Kind() == reflect.Pointer {
		shape = shape.Elem()
	}
	switch shape.Kind() {
	case reflect.Struct:
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
			return fmt.Errorf("invalid type: %.20s, expected struct %s", raw, shape.Name())
		}
		return checkFields(fields, shape)
	case reflect.Slice:
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		for _, element := range list {
			if err := checkValue(element, shape.Elem()); err != nil {
				return err
			}
		}
	case reflect.String:
		valid, ok := reflect.New(shape).Interface().(interface{ Valid() bool })
		if !ok {
			return nil
		}
		if err := json.Unmarshal(raw, valid); err != nil || !valid.Valid() {
			return fmt.Errorf("unknown variant `%.40s`", bytes.Trim(raw, `"`))
		}
	}
	return nil
}

func checkFields(fields map[string]json.RawMessage, shape reflect.Type) error {
	for i := range shape.NumField() {
		field := shape.Field(i)
		name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
		raw, present := fields[name]
		null := present && string(raw) == "null"
		kind := field.Type.Kind()
		inner := field.Type
		if kind == reflect.Pointer {
			inner = field.Type.Elem()
		}
		plain := inner.Kind() != reflect.String || inner.Name() != "string"
		switch {
		case !present && option != "omitempty":
			return fmt.Errorf("missing field `%s`", name)
		case null && option != "omitempty", null && plain && !nullable(name, inner):
			return fmt.Errorf("invalid type: null, expected a value for `%s`", name)
		case present && !null:
			if err := checkValue(raw, inner); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// nullable says whether a field that may be absent may also be null: the devices that need not be there, and
// numbers without a default.
func nullable(name string, t reflect.Type) bool {
	switch name {
	case "cpus", "memory", "rng", "serial", "console":
		return false
	}
	return t.Kind() == reflect.Slice || t.Kind() == reflect.Struct || optionalNumbers[name]
}

// unservable are the keys of a configuration that would change the guest and that nothing here honours.
var unservable = []string{
	"net", "fs", "pmem", "devices", "user_devices", "vdpa", "balloon", "generic_vhost_user", "numa", "tpm",
	"pci_segments", "rtc", "platform", "rate_limit_groups", "ivshmem",
}

type unsupportedKey struct{}

// unsupportedKeys gives what findUnsupported found in the body of the request that ctx belongs to.
func unsupportedKeys(ctx context.Context) []string {
	keys, _ := ctx.Value(unsupportedKey{}).([]string)
	return keys
}

func findUnsupported(body []byte) []string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(body, &fields) != nil {
		return nil // it was decoded before; a body that is no object has no keys
	}
	var found []string
	for _, key := range unservable {
		if raw, ok := fields[key]; ok && string(raw) != "null" && string(raw) != "[]" {
			found = append(found, key)
		}
	}
	return found
}
