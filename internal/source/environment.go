package source

import (
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// passed are the variables that the tools see as they are: where the user's
// files are, how to open a browser, how to reach the network. Those of Azure
// are listed one by one, as AZURE_ is also how many secrets begin.
var passed = map[string]bool{
	"PATH": true, "HOME": true, "USER": true, "LOGNAME": true, "SHELL": true,
	"LANG": true, "LANGUAGE": true, "TZ": true, "TMPDIR": true, "TEMP": true, "TMP": true,
	"DBUS_SESSION_BUS_ADDRESS": true, "DISPLAY": true, "WAYLAND_DISPLAY": true, "XAUTHORITY": true, "BROWSER": true,
	"SSH_CONNECTION": true, "SSH_TTY": true, "WSL_DISTRO_NAME": true, "WSL_INTEROP": true,
	"LD_LIBRARY_PATH": true, "PYTHONPATH": true, "PSMODULEPATH": true, // of unusual installations

	"HTTP_PROXY": true, "HTTPS_PROXY": true, "ALL_PROXY": true, "NO_PROXY": true,
	"REQUESTS_CA_BUNDLE": true, "CURL_CA_BUNDLE": true, "SSL_CERT_FILE": true, "SSL_CERT_DIR": true,

	"AZURE_CONFIG_DIR": true, "AZURE_AUTHORITY_HOST": true, "AZURE_TENANT_ID": true, "AZURE_SUBSCRIPTION_ID": true,
	"AZURE_CORE_ENCRYPT_TOKEN_CACHE": true, // named like a secret, and is none
	"AZURE_HTTP_USER_AGENT":          true, "AZURE_IDENTITY_DISABLE_CP1": true,
	"ARM_CLOUD_METADATA_URL": true, "AZD_CONFIG_DIR": true,
	"ACC_CLOUD": true, "MSI_ENDPOINT": true, // Cloud Shell's sign-in

	"SYSTEMROOT": true, "SYSTEMDRIVE": true, "WINDIR": true, "COMSPEC": true, "PATHEXT": true, "OS": true,
	"USERPROFILE": true, "USERNAME": true, "USERDOMAIN": true, "COMPUTERNAME": true, "HOMEDRIVE": true, "HOMEPATH": true,
	"APPDATA": true, "LOCALAPPDATA": true, "PROGRAMDATA": true, "ALLUSERSPROFILE": true, "PUBLIC": true,
	"PROGRAMFILES": true, "PROGRAMFILES(X86)": true, "PROGRAMW6432": true,
	"COMMONPROGRAMFILES": true, "COMMONPROGRAMFILES(X86)": true, "COMMONPROGRAMW6432": true,
	"NUMBER_OF_PROCESSORS": true, "PROCESSOR_ARCHITECTURE": true,
}

// passedPrefixes begin the names of settings: of the locale, of the desktop,
// and of az's and azd's configuration files (AZURE_<section>_<key>).
var passedPrefixes = []string{"LC_", "XDG_", "AZURE_CORE_", "AZURE_CLOUD_", "AZURE_EXTENSION_", "AZURE_LOGGING_", "AZURE_DEFAULTS_"}

// secretive are what the names of secrets have in them, whatever they begin
// with.
var secretive = []string{"SECRET", "PASSWORD", "PASSWD", "TOKEN", "KEY", "CREDENTIAL", "_PAT"}

// pathVariables are the variables whose value names a file. The tools run elsewhere.
var pathVariables = []string{"AZURE_CONFIG_DIR", "AZD_CONFIG_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}

// settings are what the tools are told besides.
var settings = []string{
	"AZURE_CORE_COLLECT_TELEMETRY=false",                 // its uploader would outlive the run, and tell what was run
	"AZURE_CORE_NO_COLOR=true",                           // escapes would hide what is searched for
	"AZURE_CORE_ONLY_SHOW_ERRORS=false",                  // a device code is a warning
	"AZURE_CORE_LOGIN_EXPERIENCE_V2=off",                 // it would ask for a subscription
	"AZURE_EXTENSION_USE_DYNAMIC_INSTALL=no",             // it would ask too, or load code
	"AZURE_AUTO-UPGRADE_ENABLE=no",                       // az would replace itself after a run
	"AZURE_DEV_COLLECT_TELEMETRY=no",                     // as for az
	"AZD_SKIP_UPDATE_CHECK=true",                         // costs a request
	"POWERSHELL_TELEMETRY_OPTOUT=1",                      // as for az
	"POWERSHELL_UPDATECHECK=Off",                         // costs a request
	"AZUREPS_DATA_COLLECTION_ENABLED=false",              // as for az, of the Az modules
	"SUPPRESSAZUREPOWERSHELLBREAKINGCHANGEWARNINGS=true", // noise
	"PYTHONUNBUFFERED=1",                                 // a device code has to come while somebody waits for it
}

// ToolEnvironment returns what the tools may see of environ: a list of what
// they need to find their files, a browser and the network, and nothing else,
// so that no secret reaches them or what they start. To it come settings that
// keep them from asking, updating themselves and leaving processes behind. The
// proxy variables pass as they are in environ.
func ToolEnvironment(environ []string) []string {
	var env []string
	for _, kv := range environ {
		name, value, ok := strings.Cut(kv, "=")
		if !ok || !passes(name) || told(name) {
			continue
		}
		if slices.Contains(pathVariables, name) && value != "" {
			if abs, err := filepath.Abs(value); err == nil {
				kv = name + "=" + abs
			}
		}
		env = append(env, kv)
	}
	return append(env, settings...)
}

func passes(name string) bool {
	upper := strings.ToUpper(name)
	if runtime.GOOS != "windows" && upper != name && !strings.HasSuffix(upper, "_PROXY") && name != "PSModulePath" {
		return false // case counts here, and only these are known in lower case
	}
	if passed[upper] {
		return true
	}
	for _, word := range secretive {
		if strings.Contains(upper, word) {
			return false
		}
	}
	return slices.ContainsFunc(passedPrefixes, func(p string) bool { return strings.HasPrefix(upper, p) })
}

// told reports whether the settings have the variable of that name.
func told(name string) bool {
	return slices.ContainsFunc(settings, func(kv string) bool {
		n, _, _ := strings.Cut(kv, "=")
		return n == name || runtime.GOOS == "windows" && strings.EqualFold(n, name)
	})
}
