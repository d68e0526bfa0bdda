package app

import (
	"fmt"
	"strconv"

	"l7/config"
	"l7/server"
)

// unexpected are the requests of the config's expect that do not become what they have to.
func unexpected(cfg *config.Config, snapshot *server.Snapshot) (findings []config.Finding) {
	for i, e := range cfg.Expect {
		if text := compare(e, snapshot); text != "" {
			findings = append(findings, config.Finding{Path: []string{"expect", strconv.Itoa(i)}, Text: text})
		}
	}
	return findings
}

// compare says how a request's fate differs from what is expected; empty: it does not.
func compare(e config.Expect, snapshot *server.Snapshot) string {
	method, target, err := e.Target()
	if err != nil {
		return "" // it has been reported
	}
	q := server.NewQuestion(method, target, nil)
	q.ByConfig = true // a server that is down is no fault of the config
	d, err := snapshot.Explain(q)
	switch {
	case err != nil:
		return err.Error()
	case e.Backend != "" && d.Backend == "":
		return fmt.Sprintf("%s; want %q", nowhere(e, d), e.Backend)
	case e.Backend != "" && d.Backend != e.Backend:
		return fmt.Sprintf("%s leads to backend %q; want %q", e.Request, d.Backend, e.Backend)
	case e.Backend == "" && e.Status == 0 && d.Backend == "": // what else it may be answered, as a 401, is by design
		return nowhere(e, d)
	case e.Status != 0 && d.Status != e.Status:
		return fmt.Sprintf("%s ends with status %d (%s); want %d", e.Request, d.Status, d.Cause, e.Status)
	}
	return ""
}

// nowhere says what becomes of a request that leads to no backend.
func nowhere(e config.Expect, d *server.Decision) string {
	text := fmt.Sprintf("%s leads to no backend; it is answered %d (%s)", e.Request, d.Status, d.Cause)
	if d.Error != "" {
		text += ": " + d.Error
	}
	return text
}
