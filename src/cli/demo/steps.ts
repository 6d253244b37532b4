/** The self-check: what each kind of guest does, and how it is judged. */
import type { EmbeddedGuest, LeaseInfo, OnProgress, Transfer } from './guest/embedded-guest.ts';
import { seededSha256 } from './seeded-stream.ts';
import type { VmStepResult } from './vm/start-vm.ts';
import {
  downloadStep,
  leaseStep,
  pingStep,
  resolveStep,
  uploadStep,
  type VmStep,
} from './vm/vm-steps.ts';

/** What the steps aim at. */
export interface StepPlan {
  readonly gateway: string;
  readonly hostIp: string;
  /** The file server's, on the host's loopback. */
  readonly port: number;
  readonly sizeBytes: number;
  readonly seed: number;
}

export interface StepReport {
  readonly step: string;
  readonly ok: boolean;
  readonly ms: number;
  /** For people: what was reached, or why not. */
  readonly detail: string;
  readonly bytes?: number;
}

/** Shows the steps as they go. */
export interface Display {
  begin(step: string, totalBytes: number): void;
  progress(bytes: number): void;
  end(report: StepReport): void;
}

/** A name that hawser answers itself, so that the check needs no internet. */
export const HOST_NAME = 'host.hawser.internal';
const MEGA = 1e6;

const url = (plan: StepPlan, path: string): string => `http://${plan.hostIp}:${plan.port}${path}`;
const downloadUrl = (plan: StepPlan): string =>
  url(plan, `/bytes/${plan.sizeBytes}?seed=${plan.seed}`);

/** @returns a report of every step; those after a failed lease are not tried */
export async function runGuestSteps(
  guest: EmbeddedGuest,
  plan: StepPlan,
  display: Display,
): Promise<readonly StepReport[]> {
  const reports: StepReport[] = [];
  const sum = seededSha256(plan.seed, plan.sizeBytes);
  const run = async (step: string, bytes: number, act: Act): Promise<void> => {
    display.begin(step, bytes);
    const report = await attempt(step, act, (done) => display.progress(done));
    display.end(report);
    reports.push(report);
  };
  await run('lease', 0, async () => ({ detail: describeLease(await guest.lease()) }));
  if (!reports[0]?.ok) return reports;
  await run('resolve', 0, async () => judgeAddress(await guest.resolve(HOST_NAME), plan));
  for (const [step, address] of pings(plan)) {
    await run(step, 0, async () => {
      const ms = await guest.ping(address);
      return { detail: address, ms };
    });
  }
  await run('download', plan.sizeBytes, async (onProgress) =>
    judgeTransfer(await guest.download(downloadUrl(plan), onProgress), plan, sum),
  );
  await run('upload', plan.sizeBytes, async (onProgress) => {
    const to = url(plan, '/sink');
    return judgeTransfer(await guest.upload(to, plan.seed, plan.sizeBytes, onProgress), plan, sum);
  });
  return reports;
}

interface Outcome {
  readonly detail: string;
  /** Where the time taken is not the figure wanted. */
  readonly ms?: number;
  readonly bytes?: number;
}
type Act = (onProgress: OnProgress) => Promise<Outcome>;

async function attempt(step: string, act: Act, onProgress: OnProgress): Promise<StepReport> {
  const begin = performance.now();
  try {
    const outcome = await act(onProgress);
    return { step, ok: true, ms: performance.now() - begin, ...outcome };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { step, ok: false, ms: performance.now() - begin, detail };
  }
}

const pings = (plan: StepPlan): readonly (readonly [string, string])[] => [
  ['ping-gateway', plan.gateway],
  ['ping-host', plan.hostIp],
];

const describeLease = (lease: LeaseInfo): string =>
  `${lease.address}/${lease.prefixLen}, router ${lease.router}, DNS ${lease.dns}, MTU ${lease.mtu || 'not given'}, by ${lease.client}`;

function judgeAddress(address: string, plan: StepPlan): Outcome {
  if (address !== plan.hostIp) {
    throw new Error(`${HOST_NAME} is ${address || 'nothing'}, expected ${plan.hostIp}`);
  }
  return { detail: `${HOST_NAME} is ${address}` };
}

function judgeTransfer({ bytes, sha256, ms }: Transfer, plan: StepPlan, sum: string): Outcome {
  if (bytes !== plan.sizeBytes) throw new Error(`${bytes} bytes of ${plan.sizeBytes} arrived`);
  if (sha256 !== sum) throw new Error(`checksum differs: sha256 ${sha256}, expected ${sum}`);
  return { detail: `sha256 ${sum.slice(0, 12)}… equal`, ms, bytes };
}

/** The same steps for the VM. */
export const vmSteps = (plan: StepPlan): readonly VmStep[] => [
  leaseStep(),
  resolveStep(HOST_NAME),
  ...pings(plan).map(([step, address]) => pingStep(step, address)),
  downloadStep(downloadUrl(plan)),
  uploadStep(plan.hostIp, plan.port),
];

/** Judge what the VM reports as this file judges a guest's answers. */
export async function judgeVmStep(
  result: VmStepResult,
  plan: StepPlan,
  sum: string,
): Promise<StepReport> {
  const { words } = result;
  const { error, kernel = '', address = '', sha256 = '', rtt, bytes = '0' } = words;
  const judge = (): Outcome => {
    if (!result.ok) throw new Error(error?.replaceAll('_', ' ') ?? 'failed');
    if (result.step === 'boot') return { detail: `Linux ${kernel}` };
    if (result.step === 'lease') return { detail: describeVmLease(words) };
    if (result.step === 'resolve') return judgeAddress(address, plan);
    if (result.step === 'download' || result.step === 'upload') {
      return judgeTransfer({ bytes: Number(bytes), sha256, ms: result.ms }, plan, sum);
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
