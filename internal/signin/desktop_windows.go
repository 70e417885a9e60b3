package signin

import (
	"context"
	"path/filepath"
	"strings"
	"syscall"
)

// toast shows a toast in the name of Windows PowerShell, as one shows only for
// a program that is registered. The texts are variables, and become nodes of
// the document, so that nothing in them is read as a part of either.
var toast = strings.Join([]string{
	"$ErrorActionPreference = 'Stop'",
	"[void][Windows.UI.Notifications.ToastNotificationManager, Windows.UI.Notifications, ContentType = WindowsRuntime]",
	"$doc = [Windows.UI.Notifications.ToastNotificationManager]::GetTemplateContent([Windows.UI.Notifications.ToastTemplateType]::ToastText02)",
	"$texts = $doc.GetElementsByTagName('text')",
	"[void]$texts.Item(0).AppendChild($doc.CreateTextNode($env:TOAST_TITLE))",
	"[void]$texts.Item(1).AppendChild($doc.CreateTextNode($env:TOAST_MESSAGE))",
	"$app = '{1AC14E77-02E7-4E5D-B744-2EB1AE5198B7}\\WindowsPowerShell\\v1.0\\powershell.exe'",
	"[Windows.UI.Notifications.ToastNotificationManager]::CreateToastNotifier($app).Show([Windows.UI.Notifications.ToastNotification]::new($doc))",
}, "; ")

// desktop returns what shows a notification by the PowerShell that is a part
// of Windows: later ones have lost the way to its runtime.
func desktop(getenv func(string) string) func(ctx context.Context, title, message string) error {
	root := getenv("SystemRoot")
	if root == "" {
		return nil
	}
	powershell := filepath.Join(root, "System32", "WindowsPowerShell", "v1.0", "powershell.exe")
	return func(ctx context.Context, title, message string) error {
		cmd := program(ctx,
			[]string{"SystemRoot", "windir", "SystemDrive", "TEMP", "TMP", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "ProgramData"},
			[]string{"TOAST_TITLE=injectproxy: " + title, "TOAST_MESSAGE=" + message},
			powershell, "-NoProfile", "-NonInteractive", "-Command", toast)
		cmd.SysProcAttr = &syscall.SysProcAttr{HideWindow: true}
		return cmd.Run()
	}
}
