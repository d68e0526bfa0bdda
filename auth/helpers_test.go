package auth

import (
	"encoding/base64"
	"sync"
	"testing"

	"github.com/tg123/go-htpasswd"
	"golang.org/x/crypto/bcrypt"
)

// sesame is "open sesame" (hello: "Hello world!") as htpasswd(1), openssl-passwd(1) and the sha-crypt specification have it.
const (
	sesameBcrypt = "$2y$04$CqKuqYO/xGEPkysb7oRgYOLBS3xpzruImqsmfdZ3X1H5WCEph4Knm"
	sesameApr1   = "$apr1$6aGrM8q6$ceUxdrP2.4ZMZ6VfKxz80/"
	sesameSHA    = "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac="
	sesameSSHA   = "{SSHA}hN5uxFJUEWCPg56kk42tnVCdJ61zYWx0"
	sesameSHA256 = "$5$P4wjs9M.BqtnU1pZ$rAT3NhFvgaMPWRicf9mErMrHMx4tSvkpPfJNLoLrh7D"
	sesameSHA512 = "$6$ZQt33xKnKEjJgzsC$Rhvrq6s1zJtD9V6ZgHXe5rvMgB/4FwDUs6nlB6zltJAPPgMJxOoCYXJAfe1RxaVmPYNYyD5jlbcZKWYfetBVM."
	helloSHA256  = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"
	helloSHA512  = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
	helloRounds  = "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."
	umlautApr1   = "$apr1$abcdefgh$K9RJ38eueoE3qcz3ofxtv1" // pä:ss
	emptyBcrypt  = "$2y$04$4BZM0oSHM6qsH5YJVgtPHOTDy8vPzlizjP9kryGM.wi5chOmW4K/G"
)

// basic returns the Authorization value that a client sends.
func basic(login, password string) []byte {
	return []byte("Basic " + base64.StdEncoding.EncodeToString([]byte(login+":"+password)))
}

func mustNew(t testing.TB, v *Verifier, users map[string]string) *Users {
	t.Helper()
	u, err := New(v, users)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func bcryptOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// work counts the expensive verifications of a Verifier by hash.
type work struct {
	mu   sync.Mutex
	runs map[htpasswd.EncodedPasswd]int
}

func countWork(v *Verifier) *work {
	w := &work{runs: make(map[htpasswd.EncodedPasswd]int)}
	verify := v.verify
	v.verify = func(hash htpasswd.EncodedPasswd, password string) bool {
		w.mu.Lock()
		w.runs[hash]++
		w.mu.Unlock()
		return verify(hash, password)
	}
	return w
}

func (w *work) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, runs := range w.runs {
		n += runs
	}
	return n
}
