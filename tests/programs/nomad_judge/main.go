// Judges a double of Nomad's HTTP API with Nomad's own client: asks it for the allocations of a job, strictly, and
// prints what it has understood.
//
// Usage: NOMAD_ADDR=… [NOMAD_TOKEN=… NOMAD_NAMESPACE=…] nomadjudge JOB
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"

	"github.com/hashicorp/nomad/api"
)

// What it prints of an allocation.
type understood struct {
	ID           string
	Namespace    string
	TaskGroup    string
	ClientStatus string
	Desired      string
	Healthy      *bool
	Tasks        map[string]string
	Ports        map[string]string
	TaskPorts    any
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: nomadjudge JOB")
		os.Exit(2)
	}
	if err := judge(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func judge(job string) error {
	client, err := api.NewClient(api.DefaultConfig())
	if err != nil {
		return err
	}
	var strict []*api.AllocationListStub
	if err := decodeStrictly(client, "/v1/job/"+job+"/allocations", &strict); err != nil {
		return err
	}
	stubs, _, err := client.Jobs().Allocations(job, false, nil)
	if err != nil {
		return err
	}
	all := []understood{}
	for _, stub := range stubs {
		if err := decodeStrictly(client, "/v1/allocation/"+stub.ID, &api.Allocation{}); err != nil {
			return err
		}
		allocation, _, err := client.Allocations().Info(stub.ID, nil)
		if err != nil {
			return err
		}
		all = append(all, describe(stub, allocation))
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

// decodeStrictly fails when an answer has a member that Nomad's client does not know.
func decodeStrictly(client *api.Client, path string, into any) error {
	body, err := client.Raw().Response(path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("%s: more than one value", path)
	}
	return nil
}

func describe(stub *api.AllocationListStub, allocation *api.Allocation) understood {
	said := understood{
		ID:           stub.ID,
		Namespace:    stub.Namespace,
		TaskGroup:    stub.TaskGroup,
		ClientStatus: stub.ClientStatus,
		Desired:      stub.DesiredStatus,
		Tasks:        map[string]string{},
		Ports:        map[string]string{},
	}
	if stub.DeploymentStatus != nil {
		said.Healthy = stub.DeploymentStatus.Healthy
	}
	for name, state := range stub.TaskStates {
		said.Tasks[name] = state.State
	}
	if allocation.AllocatedResources != nil {
		for _, port := range allocation.AllocatedResources.Shared.Ports {
			said.Ports[port.Label] = fmt.Sprintf("%s:%d", port.HostIP, port.Value)
		}
	} else {
		for _, network := range allocation.Resources.Networks {
			for _, port := range append(network.DynamicPorts, network.ReservedPorts...) {
				said.Ports[port.Label] = fmt.Sprintf("%s:%d", network.IP, port.Value)
			}
		}
	}
	for _, group := range allocation.Job.TaskGroups {
		for _, task := range group.Tasks {
			said.TaskPorts = task.Config["ports"]
		}
	}
	return said
}
