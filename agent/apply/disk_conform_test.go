package apply_test

import (
	"testing"

	"evenkeel/agent/apply"
	"evenkeel/agent/apply/applytest"
)

// What the crash sweep proves on the model holds on the disk only if the two
// answer alike.
func TestDiskConforms(t *testing.T) {
	applytest.Conform(t, func(t *testing.T) apply.FS {
		disk, err := apply.NewDisk(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := disk.Close(); err != nil {
				t.Error(err)
			}
		})
		return disk
	})
}
