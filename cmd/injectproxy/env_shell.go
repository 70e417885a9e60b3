package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf16"

	"al.essio.dev/pkg/shellescape"

	"github.com/injectproxy/injectproxy/internal/clientenv"
)

// shells are the languages in which env speaks.
var shells = []string{"sh", "fish", "powershell", "dotenv", "json"}

// printVariables writes what sets the variables that have a value, and removes
// those that have none.
func printVariables(w io.Writer, shell string, variables []clientenv.Variable) error {
	if shell == "json" {
		object := map[string]*string{}
		for _, v := range variables {
			object[v.Name] = nil
			if v.Value != "" {
				object[v.Name] = &v.Value
			}
		}
		return printJSON(w, object)
	}
	var b strings.Builder // all or nothing
	for _, v := range variables {
		line, err := statement(shell, v)
		if err != nil {
			return err
		}
		b.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// statement is what sets or removes one variable.
func statement(shell string, v clientenv.Variable) (string, error) {
	remove := v.Value == ""
	switch shell {
	case "fish":
		if remove {
			return "set -e " + v.Name, nil
		}
		return "set -gx " + v.Name + " " + fishQuote(v.Value), nil
	case "powershell":
		if remove {
			return "$env:" + v.Name + " = $null", nil
		}
		return "$env:" + v.Name + " = " + powershellQuote(v.Value), nil
	case "dotenv":
		value, err := dotenvQuote(v.Value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", v.Name, err)
		}
		return v.Name + "=" + value, nil
	}
	if remove {
		return "unset " + v.Name, nil
	}
	return "export " + v.Name + "=" + shellescape.Quote(v.Value), nil
}

// fishQuote returns s as one word of fish, whose single quotes know two
// escapes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// powershellQuote returns s as an expression of PowerShell that is ASCII only:
// other characters may be lost between two programs on Windows, and some of
// them are quotes to it.
func powershellQuote(s string) string {
	var b strings.Builder
	b.WriteByte('\'')
	for _, r := range s {
		switch {
		case r == '\'':
			b.WriteString("''")
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&b, "'+[char]0x%04X+'", unit)
			}
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// dotenvQuote returns s as a value of a .env file. Readers of such files agree
// on little: within single quotes all of them take everything as it is, but
// none has an escape for the quote itself.
func dotenvQuote(s string) (string, error) {
	plain := func(r rune) bool {
		return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || strings.ContainsRune("/._-+:@%,", r)
	}
	switch {
	case strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0:
		return s, nil
	case !strings.Contains(s, "'"):
		return "'" + s + "'", nil
	case !strings.ContainsAny(s, "\"\\$`\n"):
		return `"` + s + `"`, nil
	case !strings.Contains(s, "`"):
		return "`" + s + "`", nil // Node's readers know it, others do not
	}
	return "", fmt.Errorf("the value has quotes of every kind, which a .env file cannot hold")
}
