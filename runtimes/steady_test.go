package runtimes_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/kubefoundry/kubefoundry/runtimes"
)

func TestSteady(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0a", 32)
	for message, want := range map[string]string{
		`back-off 2m40s restarting failed container=main pod=llama-0_ml(6d1f0a6c-0000-4a63-9d43-6e7f6a1f2c03)`: `back-off restarting failed container=main`,
		`back-off 10s restarting failed container=main pod=llama-0_ml(6d1f0a6c-0000-4a63-9d43-6e7f6a1f2c03)`:   `back-off restarting failed container=main`,
		`Get "http://10.244.3.17:5000/health": dial tcp 10.244.3.17:5000: connect: connection refused`:         `Get "http://…:5000/health": dial tcp …:5000: connect: connection refused`,
		`read tcp 10.0.0.1:43210->52.1.2.3:443: read: connection reset by peer`:                                `read tcp …->…:443: read: connection reset by peer`,
		`pods "llama-7xk2p" is forbidden: exceeded quota: q`:                                                   `pods is forbidden: exceeded quota: q`,
		`(combined from similar events): Error creating: nope`:                                                 `Error creating: nope`,
		`Back-off pulling image (x12 over 3m)`:                                                                 `Back-off pulling image`,
		`failed at 2026-08-01T09:14:03.123Z, and 2026-08-01 09:14:03,123 again`:                                `failed at …, and … again`,
		`last seen 3m12s ago`:                      `last seen … ago`,
		`<Actor at 0x7f8a1c2d3e4f>`:                `<Actor at 0x…>`,
		`image "a@` + digest + `" not found`:       `image "a@` + digest + `" not found`,
		`container ` + strings.Repeat("0a", 32):    `container …`,
		`timed out after 600s, exit code 137`:      `timed out after 600s, exit code 137`,
		`0/3 nodes are available: 1 Too many pods`: `0/3 nodes are available: 1 Too many pods`,
		"  \n": "",
	} {
		require.Equal(t, want, runtimes.Steady(message))
	}
	long := runtimes.Steady(strings.Repeat("ü", 10_000))
	require.Less(t, len(long), 1000)
	require.True(t, utf8.ValidString(long))
}

func FuzzSteady(f *testing.F) {
	f.Add("back-off 5m0s restarting failed container=x pod=a_b(c) 10.0.0.1:80->10.0.0.2:90 2026-08-01T00:00:00Z (x1 over 2s)")
	f.Add("00000000 ")
	f.Add("(x1 over 2s) (x1 (x1 over 2s) over 2s)")
	f.Add("pods \"x\" is forbidden 0xdeadbeef 6d1f0a6c-0000-4a63-9d43-6e7f6a1f2c03 5m ago")
	f.Fuzz(func(t *testing.T, message string) {
		once := runtimes.Steady(message)
		require.Equal(t, once, runtimes.Steady(once))
		require.True(t, utf8.ValidString(once))
		require.LessOrEqual(t, len(once), 800)
	})
}
