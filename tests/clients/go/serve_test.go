// Package clients drives App Mesh's API of a real `outrigger serve` with AWS's two SDKs for Go: the first one, by which the
// Kubernetes controller works, and the second one, by which Terraform's provider does.
//
// Requests are signed, and have to be. `make clients-check` builds the program and runs this.
package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

const (
	program   = "../../../target/debug/outrigger"
	region    = "eu-west-1"
	account   = "123456789012"
	accessKey = "AKIDGO"
	secret    = "wJalrXUtnFEMIK7MDENGbPxRfiCY"
)

// Where the API is.
var apiURL string

func TestMain(m *testing.M) {
	code, err := serve(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// serve runs the tests while the program does.
func serve(run func() int) (int, error) {
	folder, err := os.MkdirTemp("", "clients")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(folder)
	keys := filepath.Join(folder, "keys.yaml")
	key := fmt.Sprintf("- {accessKeyId: %s, secretAccessKey: %s}\n", accessKey, secret)
	if err := os.WriteFile(keys, []byte(key), 0o600); err != nil {
		return 0, err
	}
	anywhere := "127.0.0.1:0"
	command := exec.Command(program, "serve",
		"--data-dir", filepath.Join(folder, "data"),
		"--xds-addr", anywhere, "--api-addr", anywhere, "--admin-addr", anywhere,
		"--account-id", account, "--region", region,
		"--api-auth", "sigv4", "--api-credentials", keys,
		"--quota", "virtual-gateways-per-mesh=1",
		"--log-format", "json")
	log, err := command.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("cannot run %s, which `cargo build` makes: %w", program, err)
	}
	defer func() {
		command.Process.Kill()
		command.Wait()
	}()
	addresses := make(chan string, 1)
	go follow(bufio.NewScanner(log), addresses)
	select {
	case address, ok := <-addresses:
		if !ok {
			return 0, fmt.Errorf("%s ended before it served; its log is above", program)
		}
		apiURL = "http://" + address
	case <-time.After(30 * time.Second):
		return 0, fmt.Errorf("%s serves no API after 30 s", program)
	}
	return run(), nil
}

// follow sends the API's address as soon as the log has it, and shows what the log says of errors.
func follow(log *bufio.Scanner, addresses chan<- string) {
	defer close(addresses)
	isKnown := false
	for log.Scan() {
		var line struct{ Level, API string }
		err := json.Unmarshal(log.Bytes(), &line)
		if err != nil || line.Level == "ERROR" {
			fmt.Fprintln(os.Stderr, log.Text())
		} else if line.API != "" && !isKnown {
			isKnown = true
			addresses <- line.API
		}
	}
}
