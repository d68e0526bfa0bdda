package acme

import (
	"github.com/rs/zerolog"
	"go.uber.org/zap/zapcore"
)

// bridge takes what certmagic logs, which is much: a line for each step of each request. So it is for debugging, but for faults that nobody
// else tells of.
type bridge struct {
	log    zerolog.Logger
	fields []zapcore.Field
}

var _ zapcore.Core = bridge{}

// Enabled implements zapcore.Core. What is dropped is known to the log alone, whose level may change while it is in use.
func (b bridge) Enabled(level zapcore.Level) bool { return level >= zapcore.DebugLevel }

// With implements zapcore.Core.
func (b bridge) With(fields []zapcore.Field) zapcore.Core {
	b.fields = append(b.fields[:len(b.fields):len(b.fields)], fields...)
	return b
}

// Check implements zapcore.Core.
func (b bridge) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(entry, b)
}

// Write implements zapcore.Core.
func (b bridge) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	line := b.log.Debug()
	if entry.Level >= zapcore.ErrorLevel && !isTold(entry.Message) {
		line = b.log.Warn()
	}
	if !line.Enabled() {
		return nil
	}
	encoder := zapcore.NewMapObjectEncoder()
	for _, field := range append(b.fields[:len(b.fields):len(b.fields)], fields...) {
		field.AddTo(encoder)
	}
	line.Str("part", "acme").Fields(encoder.Fields).Msg(entry.Message)
	return nil
}

// Sync implements zapcore.Core.
func (b bridge) Sync() error { return nil }

// isTold is true for the faults that end in an error or an event, which we log, and for those that a client can bring about at will.
func isTold(message string) bool {
	switch message {
	case "could not get certificate from issuer", "job failed", "validating authorization", "challenge failed", "tls-alpn challenge":
		return true
	}
	return false
}
