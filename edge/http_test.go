package edge

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
)

// What runs beside the edge in one process is ready with it or not at all.
func TestReadyOfOthers(t *testing.T) {
	_, nc := startBus(t)
	var broken atomic.Bool
	_, url := startEdge(t, nc, Options{Ready: func() error {
		if broken.Load() {
			return errors.New("presence\nis away")
		}
		return nil
	}})
	eventually(t, "ready", func() bool { return statusOf(t, url+"/readyz") == http.StatusOK })
	broken.Store(true)
	if status := statusOf(t, url+"/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready answers %d", status)
	}
	if status := statusOf(t, url+"/livez"); status != http.StatusOK {
		t.Errorf("alive answers %d", status)
	}
}
