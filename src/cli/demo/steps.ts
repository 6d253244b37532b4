/** The self-check: what each kind of guest does, and how it is judged. */
import type { EmbeddedGuest, LeaseInfo } from '../../lab/guest/embedded-guest.ts';
import { seededSha256 } from '../../lab/seeded-stream.ts';
import type { VmStepResult } from '../../lab/vm/start-vm.ts';
import {
  downloadStep,
  leaseStep,
  pingStep,
  resolveStep,
  uploadStep,
  type VmStep,
} from '../../lab/vm/vm-steps.ts';
import { MUX_PORT, type PublishingHost, runPublishedSteps } from './published-steps.ts';
import { attempt, type Outcome, type StepReport, type StepRunner } from './step-runner.ts';
import { bytesPath, checkTransfer, type StepPlan } from './transfer.ts';

/** A name that hawser answers itself, so that the check needs no internet. */
export const HOST_NAME = 'host.hawser.internal';
const MEGA = 1e6;

const url = (plan: StepPlan, path: string): string => `http://${plan.hostIp}:${plan.port}${path}`;
const downloadUrl = (plan: StepPlan): string => url(plan, bytesPath(plan));

/**
 * Run every step; those after a failed lease are not tried.
 *
 * @returns the URL of the guest's server on this host, if it came to that
 */
export async function runGuestSteps(
  guest: EmbeddedGuest,
  plan: StepPlan,
  runner: StepRunner,
  host: PublishingHost,
): Promise<string | undefined> {
  const sum = seededSha256(plan.seed, plan.sizeBytes);
  let address = '';
  const hasLease = await runner.run('lease', 0, async () => {
    const lease = await guest.lease();
    address = lease.address;
    return { detail: describeLease(lease) };
  });
  if (!hasLease) return undefined;
  // Early: the host dials ever more rarely, and is to have found the agent when it is used.
  const agent = guest.startAgent(MUX_PORT);
  agent.catch(() => {}); // its step says so
  await runner.run('resolve', 0, async () => classifyAddress(await guest.resolve(HOST_NAME), plan));
  for (const [step, target] of pings(plan)) {
    await runner.run(step, 0, async () => {
      const ms = await guest.ping(target);
      return { detail: target, ms };
    });
  }
  await runner.run('download', plan.sizeBytes, async (onProgress) =>
    checkTransfer(await guest.download(downloadUrl(plan), onProgress), plan.sizeBytes, sum),
  );
  await runner.run('upload', plan.sizeBytes, async (onProgress) => {
    const to = url(plan, '/sink');
    const transfer = await guest.upload(to, plan.seed, plan.sizeBytes, onProgress);
    return checkTransfer(transfer, plan.sizeBytes, sum);
  });
  const serve = async () => ({ address, port: await guest.serve(), path: bytesPath(plan) });
  return await runPublishedSteps(runner, host, plan, sum, () => agent, serve);
}

const pings = (plan: StepPlan): readonly (readonly [string, string])[] => [
  ['ping-gateway', plan.gateway],
  ['ping-host', plan.hostIp],
];

const describeLease = (lease: LeaseInfo): string =>
  `${lease.address}/${lease.prefixLen}, router ${lease.router}, DNS ${lease.dns}, MTU ${lease.mtu || 'not given'}, by ${lease.client}`;

function classifyAddress(address: string, plan: StepPlan): Outcome {
  if (address !== plan.hostIp) {
    throw new Error(`${HOST_NAME} is ${address || 'nothing'}, expected ${plan.hostIp}`);
  }
  return { detail: `${HOST_NAME} is ${address}` };
}

/** The same steps for the VM. */
export const vmSteps = (plan: StepPlan): readonly VmStep[] => [
  leaseStep(),
  resolveStep(HOST_NAME),
  ...pings(plan).map(([step, address]) => pingStep(step, address)),
  downloadStep(downloadUrl(plan)),
  uploadStep(plan.hostIp, plan.port),
];

/** What a step of the VM failed with. */
export const vmError = ({ words }: VmStepResult): Error =>
  new Error(words['error']?.replaceAll('_', ' ') ?? 'failed');

/** Judge what the VM reports as this file judges a guest's answers. */
export async function checkVmStep(
  result: VmStepResult,
  plan: StepPlan,
  sum: string,
): Promise<StepReport> {
  const { words } = result;
  const { kernel = '', address = '', sha256 = '', rtt, bytes = '0' } = words;
  const judge = (): Outcome => {
    if (!result.ok) throw vmError(result);
    if (result.step === 'boot') return { detail: `Linux ${kernel}` };
    if (result.step === 'lease') return { detail: describeVmLease(words) };
    if (result.step === 'resolve') return classifyAddress(address, plan);
    if (result.step === 'download' || result.step === 'upload') {
      return checkTransfer({ bytes: Number(bytes), sha256, ms: result.ms }, plan.sizeBytes, sum);
    }
    return rtt === undefined ? { detail: address } : { detail: address, ms: Number(rtt) };
  };
  const timed = async (): Promise<Outcome> => ({ ms: result.ms, ...judge() });
  return await attempt(result.step, timed, () => {});
}

const describeVmLease = ({
  address,
  mask,
  router,
  dns,
  mtu,
}: Readonly<Record<string, string>>): string =>
  `${address} mask ${mask}, router ${router}, DNS ${dns}, MTU ${mtu || 'not given'}, by busybox udhcpc`;

/** `258 ms`, or `1834 ms, 146 MB/s`. */
export function figure({ ms, bytes }: StepReport): string {
  const time = ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`;
  return bytes === undefined ? time : `${time}, ${Math.round(bytes / MEGA / (ms / 1000))} MB/s`;
}
