// What Nomad says of allocations, and where in it the address of a task's port is. Pure.
// https://developer.hashicorp.com/nomad/api-docs/allocations

import * as z from "zod";
import type { Address } from "../../model/address.ts";

/** 0 where none is given yet. */
const PortNumber = z.int().min(0).max(65535);
const Ports = z.array(z.object({ Label: z.string(), Value: PortNumber })).nullish();
const Networks = z.array(z.object({
  IP: z.string().nullish(),
  DynamicPorts: Ports,
  ReservedPorts: Ports,
})).nullish();

const Stub = z.object({
  ID: z.string(),
  TaskGroup: z.string(),
  ClientStatus: z.string(),
  DesiredStatus: z.string().nullish(),
  DeploymentStatus: z.object({ Healthy: z.boolean().nullish() }).nullish(),
  TaskStates: z.record(z.string(), z.object({ State: z.string() })).nullish(),
});

const Allocation = z.object({
  TaskGroup: z.string(),
  Job: z.object({
    TaskGroups: z.array(z.object({
      Name: z.string(),
      Tasks: z.array(z.object({
        Name: z.string(),
        Config: z.object({ ports: z.array(z.string()).nullish() }).nullish(),
      })).nullish(),
    })).nullish(),
  }).nullish(),
  Resources: z.object({ Networks }).nullish(),
  AllocatedResources: z.object({
    Shared: z.object({
      Networks,
      Ports: z.array(
        z.object({ Label: z.string(), Value: PortNumber, HostIP: z.string().nullish() }),
      )
        .nullish(),
    }).nullish(),
    Tasks: z.record(z.string(), z.object({ Networks })).nullish(),
  }).nullish(),
});

/** A task of a job. */
export interface Task {
  job: string;
  group: string;
  task: string;
}

/** An answer that does not read as Nomad's. */
export class Unreadable extends Error {}

/** Reads `job.group.task`, of a destination whose port has a name; undefined for other hosts. */
export function readTask(host: string): Task | undefined {
  const [job, group, task, ...more] = host.split(".");
  return job && group && task && more.length === 0 ? { job, group, task } : undefined;
}

/**
 * The ids of the allocations in which a task runs and is not known to be unhealthy; of those that a deployment has found
 * healthy alone, if there are such.
 *
 * @throws {Unreadable} when that is no list of allocations.
 */
export function runningOnes(list: unknown, { group, task }: Task): string[] {
  const { data, success } = z.array(Stub).safeParse(list);
  if (!success) throw new Unreadable("its list of allocations");
  const running = data.filter((each) =>
    each.TaskGroup === group && each.ClientStatus === "running" &&
    (each.DesiredStatus ?? "run") === "run" &&
    (each.TaskStates?.[task]?.State ?? "running") === "running" &&
    each.DeploymentStatus?.Healthy !== false
  );
  const healthy = running.filter((each) => each.DeploymentStatus?.Healthy === true);
  return (healthy.length > 0 ? healthy : running).map(({ ID }) => ID);
}

/**
 * Where a task's port is; undefined when the task has no such port.
 *
 * @throws {Unreadable} when that is no allocation.
 */
export function addressIn(
  allocation: unknown,
  { group, task }: Task,
  label: string,
): Address | undefined {
  const { data, success } = Allocation.safeParse(allocation);
  if (!success) throw new Unreadable("an allocation");
  const tasks = data.Job?.TaskGroups?.find(({ Name }) => Name === group)?.Tasks;
  const ports = tasks?.find(({ Name }) => Name === task)?.Config?.ports;
  const resources = data.AllocatedResources;
  // Networks of the task alone come from jobs of old; there the label is the task's own.
  const own = portIn(resources?.Tasks?.[task]?.Networks, label);
  if (own !== undefined) return own;
  // Drivers without containers have no list of ports: each task has those of its group.
  if (ports && !ports.includes(label)) return undefined;
  const mapped = resources?.Shared?.Ports?.find(({ Label }) => Label === label);
  if (mapped?.HostIP && mapped.Value > 0) return { host: mapped.HostIP, port: mapped.Value };
  return portIn(resources?.Shared?.Networks, label) ?? portIn(data.Resources?.Networks, label);
}

function portIn(networks: z.infer<typeof Networks>, label: string): Address | undefined {
  for (const { IP, DynamicPorts, ReservedPorts } of networks ?? []) {
    const port = [...DynamicPorts ?? [], ...ReservedPorts ?? []]
      .find(({ Label }) => Label === label);
    if (IP && port && port.Value > 0) return { host: IP, port: port.Value };
  }
  return undefined;
}
