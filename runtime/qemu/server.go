package qemu

import (
	"context"
	"errors"
	"fmt"

	"microagent/ch"
	"microagent/ch/api"
)

// server answers the API's calls. It decides nothing: each takes the state and calls it.
type server struct{ v *vmm }

var _ api.StrictServerInterface = server{}

// do runs one call with the state locked.
func (s server) do(endpoint string, f func() error) error {
	if err := s.v.locked(f); err != nil {
		return fail(endpoint, err)
	}
	return nil
}

func (s server) VmmPing(context.Context, api.VmmPingRequestObject) (api.VmmPingResponseObject, error) {
	features := []string{ch.FeatureQEMU, string(s.v.host.accel), ch.FeatureSnapshot}
	if s.v.host.filtered.Load() {
		features = append(features, ch.FeatureSeccomp)
	}
	return api.VmmPing200JSONResponse{
		BuildVersion: fmt.Sprintf("v%d.%d-qemu-%s", ch.TestedVersion.Major, ch.TestedVersion.Minor, s.v.version),
		Version:      fmt.Sprintf("%d.%d.%d", ch.TestedVersion.Major, ch.TestedVersion.Minor, ch.TestedVersion.Patch),
		Pid:          int64(s.v.pid),
		Features:     features,
	}, nil
}

func (s server) VmmShutdown(context.Context, api.VmmShutdownRequestObject) (api.VmmShutdownResponseObject, error) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	s.v.end(0)
	return api.VmmShutdown200Response{}, nil
}

func (s server) VmCreate(ctx context.Context, r api.VmCreateRequestObject) (api.VmCreateResponseObject, error) {
	err := s.do("vm.create", func() error { return s.v.create(*r.Body, unsupportedKeys(ctx)) })
	return api.VmCreate204Response{}, err
}

func (s server) VmDelete(context.Context, api.VmDeleteRequestObject) (api.VmDeleteResponseObject, error) {
	return api.VmDelete204Response{}, s.do("vm.delete", s.v.delete)
}

func (s server) VmBoot(context.Context, api.VmBootRequestObject) (api.VmBootResponseObject, error) {
	return api.VmBoot204Response{}, s.do("vm.boot", s.v.boot)
}

func (s server) VmShutdown(context.Context, api.VmShutdownRequestObject) (api.VmShutdownResponseObject, error) {
	return api.VmShutdown204Response{}, s.do("vm.shutdown", s.v.shutdown)
}

func (s server) VmReboot(context.Context, api.VmRebootRequestObject) (api.VmRebootResponseObject, error) {
	return api.VmReboot204Response{}, s.do("vm.reboot", s.v.reboot)
}

func (s server) VmPause(context.Context, api.VmPauseRequestObject) (api.VmPauseResponseObject, error) {
	return api.VmPause204Response{}, s.do("vm.pause", s.v.pause)
}

func (s server) VmResume(context.Context, api.VmResumeRequestObject) (api.VmResumeResponseObject, error) {
	return api.VmResume204Response{}, s.do("vm.resume", s.v.resume)
}

func (s server) VmPowerButton(context.Context, api.VmPowerButtonRequestObject) (api.VmPowerButtonResponseObject, error) {
	return api.VmPowerButton204Response{}, s.do("vm.power-button", func() error { return s.v.press("system_powerdown") })
}

func (s server) VmNmi(context.Context, api.VmNmiRequestObject) (api.VmNmiResponseObject, error) {
	return api.VmNmi204Response{}, s.do("vm.nmi", func() error { return s.v.press("inject-nmi") })
}

func (s server) VmInfo(context.Context, api.VmInfoRequestObject) (api.VmInfoResponseObject, error) {
	var info api.VmInfo
	err := s.do("vm.info", func() (err error) { info, err = s.v.info(); return })
	return api.VmInfo200JSONResponse(info), err
}

func (s server) VmCounters(context.Context, api.VmCountersRequestObject) (api.VmCountersResponseObject, error) {
	var counters api.VmCounters
	err := s.do("vm.counters", func() (err error) { counters, err = s.v.counters(); return })
	return api.VmCounters200JSONResponse(counters), err
}

func (s server) VmResize(_ context.Context, r api.VmResizeRequestObject) (api.VmResizeResponseObject, error) {
	return api.VmResize204Response{}, s.do("vm.resize", func() error { return s.v.resize(*r.Body) })
}

func (s server) VmResizeDisk(_ context.Context, r api.VmResizeDiskRequestObject) (api.VmResizeDiskResponseObject, error) {
	return api.VmResizeDisk204Response{}, s.do("vm.resize-disk", func() error { return s.v.resizeDisk(r.Body.Id, r.Body.DesiredSize) })
}

func (s server) VmAddDisk(_ context.Context, r api.VmAddDiskRequestObject) (api.VmAddDiskResponseObject, error) {
	var info *api.PciDeviceInfo
	err := s.do("vm.add-disk", func() (err error) { info, err = s.v.addDisk(*r.Body); return })
	if err != nil || info == nil {
		return api.VmAddDisk204Response{}, err
	}
	return api.VmAddDisk200JSONResponse(*info), nil
}

func (s server) VmAddVsock(_ context.Context, r api.VmAddVsockRequestObject) (api.VmAddVsockResponseObject, error) {
	var info *api.PciDeviceInfo
	err := s.do("vm.add-vsock", func() (err error) { info, err = s.v.addVsock(*r.Body); return })
	if err != nil || info == nil {
		return api.VmAddVsock204Response{}, err
	}
	return api.VmAddVsock200JSONResponse(*info), nil
}

func (s server) VmRemoveDevice(_ context.Context, r api.VmRemoveDeviceRequestObject) (api.VmRemoveDeviceResponseObject, error) {
	return api.VmRemoveDevice204Response{}, s.do("vm.remove-device", func() error { return s.v.removeDevice(r.Body.Id) })
}

func (s server) VmSnapshot(_ context.Context, r api.VmSnapshotRequestObject) (api.VmSnapshotResponseObject, error) {
	return api.VmSnapshot204Response{}, s.do("vm.snapshot", func() error { return s.v.snapshot(r.Body.DestinationUrl) })
}

func (s server) VmRestore(_ context.Context, r api.VmRestoreRequestObject) (api.VmRestoreResponseObject, error) {
	return api.VmRestore204Response{}, s.do("vm.restore", func() error { return s.v.restore(*r.Body) })
}

// asFailure gives the answer for any error.
func asFailure(err error, status int) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{status, []string{err.Error()}}
}
