package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// set reads text into v, a value of the key's type. It is the only way in which text becomes a value,
// whichever layer it comes from. Its errors show the text, unless it is a secret.
func (k *Key) set(v reflect.Value, text string) error {
	if !utf8.ValidString(text) {
		return errors.New("the text is not UTF-8")
	}
	if len(k.Enum) > 0 && !slices.Contains(k.Enum, text) {
		hint := DidYouMean(text, k.Enum)
		if text == "false" && slices.Contains(k.Enum, "off") {
			hint = "; a YAML 1.1 tool may have made false of off; put quotes around it: 'off'"
		}
		return errors.New("cannot use " + quote(text) + "; " + k.want() + hint)
	}
	if k.Kind == KindSecret {
		if err := checkSecret(text); err != nil {
			return err
		}
	}
	if err := setText(k.Kind, v, text); err != nil {
		return err
	}
	if k.Kind == KindNumber && (v.Int() < int64(k.Min) || v.Int() > int64(k.Max)) {
		return errors.New("cannot use " + quote(text) + "; " + k.want())
	}
	return nil
}

// setText reads text into v by the kind of v's type alone.
func setText(kind Kind, v reflect.Value, text string) error {
	switch kind {
	case KindText, KindSecret:
		v.SetString(text)
	case KindNumber:
		n, err := parseNumber(text)
		v.SetInt(int64(n))
		return err
	case KindBool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("cannot use %s; want true or false", quote(text))
		}
		v.SetBool(b)
	case KindDuration:
		d, err := parseDuration(text)
		v.SetInt(int64(d))
		return err
	case KindSize, KindWord:
		return v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
	default:
		return fmt.Errorf("BUG: text for a key of type %s", v.Type())
	}
	return nil
}

// parseNumber takes decimal digits only: elsewhere 0x10, 010 and 1_000 mean different things to different readers.
func parseNumber(text string) (int, error) {
	digits := strings.TrimPrefix(text, "-")
	if len(digits) > 1 && digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("cannot use %s; want a whole number in plain digits", quote(text))
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("cannot use %s; want a whole number, and not that large", quote(text))
	}
	return n, nil
}

// parseDuration takes what time.ParseDuration takes, but no bare number (not even 0) and no sign.
func parseDuration(text string) (time.Duration, error) {
	if text != "" && strings.Trim(text, "0123456789.") == "" {
		return 0, fmt.Errorf("%s has no unit; write %ss for seconds, or ms, m, h", quote(text), cut(text))
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && isDuration(anyNumber.ReplaceAllString(text, "1")):
		return 0, fmt.Errorf("%s is too long; the longest is %dh", quote(text), math.MaxInt64/time.Hour)
	case err != nil || strings.HasPrefix(text, "+"):
		return 0, fmt.Errorf("%s is not a duration; want a number with its unit (ms, s, m, h), as in 5s", quote(text))
	case strings.HasPrefix(text, "-"):
		return 0, fmt.Errorf("%s is negative; want a duration from 0s up", quote(text))
	}
	return d, nil
}

var anyNumber = regexp.MustCompile(`[0-9]+`)

func isDuration(text string) bool {
	_, err := time.ParseDuration(text)
	return err == nil
}

// formatDuration is time.Duration.String without the zeros at its end: 1m, not 1m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// textOf is the canonical text of a leaf. A secret's is the secret itself: showing it is the caller's sin.
func textOf(v reflect.Value) string {
	switch kindOf(v.Type()) {
	case KindNumber:
		return strconv.FormatInt(v.Int(), 10)
	case KindBool:
		return strconv.FormatBool(v.Bool())
	case KindDuration:
		return formatDuration(time.Duration(v.Int()))
	case KindSize:
		return Size(v.Int()).String()
	case KindWord:
		return fmt.Sprint(v.Interface())
	}
	return v.String()
}

// plain turns a value into what koanf holds: nested maps, lists, and text at the leaves. Only text,
// because koanf deep-copies what it holds, and the copy of a struct loses its unexported fields.
func (k *Key) plain(v reflect.Value) any {
	switch k.Kind {
	case KindSection:
		m := make(map[string]any, len(k.Fields))
		for _, f := range k.Fields {
			m[f.Name] = f.plain(v.Field(f.index))
		}
		return m
	case KindMap:
		m := make(map[string]any, v.Len())
		for _, name := range v.MapKeys() {
			m[name.String()] = k.Item.plain(v.MapIndex(name))
		}
		return m
	case KindList:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = k.Item.plain(v.Index(i))
		}
		return list
	}
	return textOf(v)
}
