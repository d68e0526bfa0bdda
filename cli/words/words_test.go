package words

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestAge(t *testing.T) {
	f := func(want string, d time.Duration) {
		t.Helper()
		assert.Equal(t, want, Age(d))
	}
	f("0s", 0)
	f("0s", -time.Second)
	f("59s", 59*time.Second+999*time.Millisecond)
	f("2m05s", 125*time.Second)
	f("3h12m", 3*time.Hour+12*time.Minute)
	f("4d01h", 97*time.Hour)
}

func TestPlain(t *testing.T) {
	assert.Equal(t, "a?[31mb? ü", Plain("a\x1b[31mb\n ü"))
}

func TestCount(t *testing.T) {
	assert.Equal(t, []string{"0 servers", "1 server", "2 servers"}, []string{Count(0, "server"), Count(1, "server"), Count(2, "server")})
}

func TestPaint(t *testing.T) {
	assert.Equal(t, []string{"\x1b[31ma\x1b[0m", "a", ""}, []string{Paint(Red, "a"), Paint("", "a"), Paint(Red, "")})
}
