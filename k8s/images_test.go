package k8s

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// The loader of docker compose v2 validates against the schema. CI runs the file with
// docker-compose 1.29.
func TestComposeFile(t *testing.T) {
	t.Parallel()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  "..",
		ConfigFiles: []types.ConfigFile{{Filename: "../docker-compose.yml"}},
	}, loader.WithProfiles([]string{"python", "blue"}), func(o *loader.Options) { o.SetProjectName("counting", true) })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"blue-client1", "blue-client2", "client1", "client2", "python-client1", "python-client2", "server"}
	if got := project.ServiceNames(); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		t.Errorf("services are %v", got)
	}
	for name, service := range project.Services {
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not hardened", name)
		}
		python, blue := strings.HasPrefix(name, "python-"), strings.HasPrefix(name, "blue-")
		if game := service.Environment["GAME"]; blue != slices.Equal(service.Profiles, []string{"blue"}) || blue != (game != nil && *game == "blue") {
			t.Errorf("%s has the game %v, profiles %v", name, game, service.Profiles)
		}
		wantRestart := map[bool]string{true: types.RestartPolicyAlways, false: types.RestartPolicyUnlessStopped}
		if service.Restart != wantRestart[python] {
			t.Errorf("%s is restarted %s", name, service.Restart)
		}
		if python != (service.Init != nil && *service.Init) || python != slices.Equal(service.Profiles, []string{"python"}) {
			t.Errorf("%s has init %v, profiles %v", name, service.Init, service.Profiles)
		}
		if name != "server" && service.DependsOn["server"].Condition != types.ServiceConditionHealthy {
			t.Errorf("%s does not wait for the server", name)
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s listens on %q", name, port.HostIP)
			}
		}
		if service.Logging == nil || service.Logging.Options["max-size"] == "" {
			t.Errorf("the log of %s has no limit", name)
		}
		for _, volume := range service.Volumes {
			if volume.Type != types.VolumeTypeVolume || project.Volumes[volume.Source].Name == "" {
				t.Errorf("%s has the volume %v, which is not a named one", name, volume)
			}
		}
		if build := service.Build; build != nil {
			if _, err := os.Stat("../" + build.Dockerfile); err != nil {
				t.Error(err)
			}
		}
	}
	for _, name := range []string{"client1", "client2"} {
		if stay := project.Services[name].Environment["STAY"]; stay == nil || *stay != "true" {
			t.Errorf("%s exits at the end of the count, and is restarted", name)
		}
	}
}

// Each Dockerfile compiles the packages of other modules before it copies our code. Without
// a package in that list, each change of code downloads it again.
func TestDockerfilesListAllImports(t *testing.T) {
	t.Parallel()
	list := regexp.MustCompile(`(?m)^RUN go build \\\n((?: {4}\S+ \\\n)* {4}\S+)$`)
	for _, part := range []string{"server", "clients"} {
		text, err := os.ReadFile("../" + part + "/Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		block := list.FindSubmatch(text)
		if block == nil {
			t.Fatalf("%s/Dockerfile has no list of packages", part)
		}
		listed := strings.Fields(strings.ReplaceAll(string(block[1]), `\`, ""))

		// All imports of those of our packages that the binary needs.
		command := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
			`{{if and .Module .Module.Main}}{{range .Imports}}{{.}}{{"\n"}}{{end}}{{end}}`, "./"+part)
		command.Dir, command.Env, command.Stderr = "..", append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		var imported []string
		for path := range strings.FieldsSeq(string(out)) {
			domain, _, _ := strings.Cut(path, "/")
			if strings.Contains(domain, ".") {
				imported = append(imported, path)
			}
		}
		slices.Sort(imported)
		if imported = slices.Compact(imported); !slices.Equal(listed, imported) {
			t.Errorf("%s/Dockerfile should list\n    %s", part, strings.Join(imported, " \\\n    "))
		}
	}
}
