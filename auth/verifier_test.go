package auth

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/tg123/go-htpasswd"
)

func TestVerifierRemembers(t *testing.T) {
	v := NewVerifier()
	w := countWork(v)
	users := map[string]string{"bob": sesameBcrypt, "plain": "x", "cheap": sesameSHA}
	u := mustNew(t, v, users)
	f := func(login, password string, want int) {
		t.Helper()
		before := w.total()
		u.Check(basic(login, password))
		if n := w.total() - before; n != want {
			t.Errorf("%d verifications, want %d", n, want)
		}
	}
	f("bob", "open sesame", 1)
	f("bob", "open sesame", 0)
	f("bob", "wrong", 1)
	f("bob", "wrong", 0)
	f("bob", "wronger", 1)
	f("bob", "open sesame", 0)
	f("plain", "x", 0)
	f("plain", "y", 0)
	f("cheap", "open sesame", 0)

	// A reload keeps what is known of an unchanged hash, and nothing of a changed one.
	u = mustNew(t, v, users)
	f("bob", "open sesame", 0)
	f("bob", "wrong", 0)
	users["bob"] = bcryptOf(t, "new")
	u = mustNew(t, v, users)
	f("bob", "open sesame", 1)
	f("bob", "new", 1)
	if _, ok := u.Check(basic("bob", "open sesame")); ok {
		t.Error("the old password is still accepted")
	}
}

// An unknown login must do what some known login does with a wrong password: the same kind of work, as often,
// for whatever password, also for that of the account that stands in.
func TestUnknownLoginWorksAsKnown(t *testing.T) {
	v := NewVerifier()
	w := countWork(v)
	u := mustNew(t, v, map[string]string{"bob": sesameBcrypt})
	f := func(login, password string, first, again int, wantLogin string) {
		t.Helper()
		for _, want := range []int{first, again, again} {
			before := w.total()
			if login, ok := u.Check(basic(login, password)); ok || login != wantLogin {
				t.Errorf("got %q %v", login, ok)
			}
			if n := w.total() - before; n != want {
				t.Errorf("%d verifications, want %d", n, want)
			}
		}
	}
	f("bob", "wrong", 1, 0, "bob")
	f("stranger", "wrong", 1, 0, "")
	f("stranger", "wronger", 1, 0, "")
	f("other", "wrong", 1, 0, "")
	f("early", "open sesame", 1, 0, "") // before bob's password is remembered
	if _, ok := u.Check(basic("bob", "open sesame")); !ok {
		t.Fatal("bob is refused")
	}
	f("late", "open sesame", 1, 0, "") // and after
	if _, ok := u.Check(basic("bob", "open sesame")); !ok {
		t.Error("a stand-in spoiled what was known of bob")
	}
}

// One user's login is unknown to another set that has the same hash: neither may answer for the other.
func TestStandInAcrossSets(t *testing.T) {
	v := NewVerifier()
	here := mustNew(t, v, map[string]string{"alice": sesameBcrypt})
	there := mustNew(t, v, map[string]string{"bob": sesameBcrypt})
	f := func(u *Users, want bool) {
		t.Helper()
		if _, ok := u.Check(basic("alice", "open sesame")); ok != want {
			t.Errorf("got %v", ok)
		}
	}
	f(there, false)
	f(here, true)
	f(there, false)
	f(here, true)
}

// In a mixed set unknown logins fall on all kinds of accounts, each always on the same one,
// also after a restart and in another process.
func TestStandInMixedSet(t *testing.T) {
	users := map[string]string{"a": "plain", "b": sesameBcrypt, "c": sesameApr1, "d": sesameSHA, "e": sesameSHA512}
	standIns := func() (kinds []string) {
		v := NewVerifier()
		w := countWork(v)
		u := mustNew(t, v, users)
		names := make(map[htpasswd.EncodedPasswd]string)
		for login, a := range u.accounts {
			names[a.hash] = login
		}
		for i := range 64 {
			clear(w.runs)
			if _, ok := u.Check(basic(fmt.Sprint("stranger", i), "open sesame")); ok {
				t.Error("a stranger is accepted")
			}
			if len(w.runs) > 1 || w.total() > 1 {
				t.Errorf("%d verifications", w.total())
			}
			kind := "cheap"
			for hash := range w.runs {
				kind = names[hash]
			}
			kinds = append(kinds, kind)
		}
		return kinds
	}
	once, again := standIns(), standIns()
	if !slices.Equal(once, again) {
		t.Errorf("stand-ins differ:\n%v\n%v", once, again)
	}
	seen := make(map[string]bool)
	for _, kind := range once {
		seen[kind] = true
	}
	if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, []string{"b", "c", "cheap", "e"}) {
		t.Errorf("only %v stand in", got)
	}
}

func TestMismatchesDoNotEvictMatches(t *testing.T) {
	v := NewVerifier()
	v.verify = func(_ htpasswd.EncodedPasswd, password string) bool { return password == "right" }
	w := countWork(v)
	u := mustNew(t, v, map[string]string{"bob": sesameBcrypt})
	u.Check(basic("bob", "right"))
	for i := range 4 * maxMismatches {
		u.Check(basic("bob", fmt.Sprint("wrong", i)))
		u.Check(basic(fmt.Sprint("stranger", i), "right"))
	}
	before := w.total()
	if before != 1+8*maxMismatches {
		t.Errorf("%d verifications", before)
	}
	if _, ok := u.Check(basic("bob", "right")); !ok || w.total() != before {
		t.Error("the match was forgotten")
	}
	if got := filled(v.mismatches); got > maxMismatches || got < maxMismatches/2 {
		t.Errorf("%d mismatches are remembered", got)
	}
	if got := filled(v.matches); got != 1 {
		t.Errorf("%d matches are remembered", got)
	}
}

func TestTable(t *testing.T) {
	tab := newTable(4 * ways)
	var sums []digest
	for i := range 8 * ways {
		sums = append(sums, digestOf("test", fmt.Sprint(i)))
		if tab.has(&sums[i]) {
			t.Error("found before added")
		}
		tab.add(sums[i])
		if !tab.has(&sums[i]) {
			t.Error("not found after added")
		}
	}
	if got := filled(tab); got != 4*ways {
		t.Errorf("%d slots are filled", got)
	}
}

func filled(tab table) (n int) {
	for i := range tab.slots {
		if tab.slots[i].Load() != nil {
			n++
		}
	}
	return n
}

// While one verification runs, those who ask the same wait for it and do not start their own.
func TestEqualChecksRunOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := NewVerifier()
		finish := make(chan struct{})
		var runs atomic.Int32
		v.verify = func(htpasswd.EncodedPasswd, string) bool {
			runs.Add(1)
			<-finish
			return true
		}
		u := mustNew(t, v, map[string]string{"bob": sesameBcrypt})
		for range 8 {
			go func() {
				if _, ok := u.Check(basic("bob", "open sesame")); !ok {
					t.Error("refused")
				}
			}()
		}
		synctest.Wait()
		close(finish)
		synctest.Wait()
		if n := runs.Load(); n != 1 {
			t.Errorf("%d verifications", n)
		}
	})
}

func TestVerificationsAreBounded(t *testing.T) {
	if got, want := cap(NewVerifier().slots), max(1, runtime.GOMAXPROCS(0)/2); got != want {
		t.Errorf("%d slots, want %d", got, want)
	}
	synctest.Test(t, func(t *testing.T) {
		v := NewVerifier()
		v.slots = make(chan struct{}, 2)
		finish := make(chan struct{})
		var running, done atomic.Int32
		v.verify = func(htpasswd.EncodedPasswd, string) bool {
			running.Add(1)
			<-finish
			running.Add(-1)
			return false
		}
		u := mustNew(t, v, map[string]string{"bob": sesameBcrypt, "plain": "x"})
		for i := range 6 {
			go func() {
				u.Check(basic("bob", fmt.Sprint(i)))
				done.Add(1)
			}()
		}
		for i := range 6 {
			synctest.Wait()
			if want := int32(min(2, 6-i)); running.Load() != want || int(done.Load()) != i {
				t.Errorf("%d run, %d are done, want %d and %d", running.Load(), done.Load(), want, i)
			}
			if _, ok := u.Check(basic("plain", "x")); !ok {
				t.Error("a cheap check is refused")
			}
			finish <- struct{}{}
		}
		synctest.Wait()
	})
}

// A panic of a hash function must not keep its slot.
func TestPanicFreesSlot(t *testing.T) {
	v := NewVerifier()
	v.slots = make(chan struct{}, 1)
	v.verify = func(htpasswd.EncodedPasswd, string) bool { panic("test") }
	u := mustNew(t, v, map[string]string{"bob": sesameBcrypt})
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			u.Check(basic("bob", "x"))
		}()
	}
}

// Eight clients on two sets that share hashes, right and wrong, known and unknown, with a table that is too small.
func TestConcurrentChecks(t *testing.T) {
	v := NewVerifier()
	v.matches, v.mismatches = newTable(ways), newTable(ways)
	users := map[string]string{"plain": "pw-plain", "cheap": sesameSHA}
	for i := range 12 {
		login := fmt.Sprint("user", i)
		users[login] = bcryptOf(t, "pw-"+login)
	}
	sets := []*Users{mustNew(t, v, users), mustNew(t, v, users)}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 60 {
				u, login := sets[i%2], fmt.Sprint("user", (g+i)%14) // two of them are strangers
				_, known := users[login]
				if _, ok := u.Check(basic(login, "pw-"+login)); ok != known {
					t.Errorf("%s: got %v", login, ok)
				}
				if _, ok := u.Check(basic(login, "pw-user0")); ok != (login == "user0") {
					t.Errorf("%s with another's password: got %v", login, ok)
				}
				if _, ok := u.Check(basic("plain", "pw-plain")); !ok {
					t.Error("plain is refused")
				}
				u.Peek(basic(login, "pw-"+login))
			}
		})
	}
	wg.Wait()
}

func TestCheckAllocations(t *testing.T) {
	u := mustNew(t, NewVerifier(), map[string]string{"hashed": sesameBcrypt, "plain": "open sesame"})
	f := func(authorization []byte) {
		t.Helper()
		u.Check(authorization)
		if n := testing.AllocsPerRun(100, func() { u.Check(authorization) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		if n := testing.AllocsPerRun(100, func() { u.Peek(authorization) }); n != 0 {
			t.Errorf("peek: %v allocations", n)
		}
	}
	f(nil)
	f([]byte("Bearer x"))
	f(basic("hashed", "open sesame"))
	f(basic("hashed", "wrong"))
	f(basic("stranger", "open sesame"))
	f(basic("plain", "open sesame"))
	f(basic("plain", "wrong"))
}

func BenchmarkCheckCached(b *testing.B) {
	u := mustNew(b, NewVerifier(), map[string]string{"hashed": sesameBcrypt, "plain": "open sesame"})
	f := func(name string, authorization []byte, want bool) {
		u.Check(authorization)
		check := func() {
			if _, ok := u.Check(authorization); ok != want {
				b.Error(ok)
			}
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				check()
			}
		})
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					check()
				}
			})
		})
	}
	f("bcrypt", basic("hashed", "open sesame"), true)
	f("bcrypt-wrong", basic("hashed", "wrong"), false)
	f("plain", basic("plain", "open sesame"), true)
	f("stranger", basic("stranger", "open sesame"), false)
	f("missing", nil, false)
}
