/** The steps of a {@link StepPlan} for a VM, and the check of what it reports of them. */
import { seededSha256 } from '../seeded-stream.ts';
import {
  checkAddress,
  checkTransfer,
  downloadUrl,
  HOST_NAME,
  pings,
  planOfIpv6,
  type StepPlan,
} from '../step-plan.ts';
import { attempt, LeftOutError, type Outcome, type StepReport } from '../step-report.ts';
import type { VmStepResult } from './start-vm.ts';
import {
  byIpv6,
  downloadStep,
  IPV6_FILE,
  ipv6Step,
  leaseStep,
  pingStep,
  resolveStep,
  uploadStep,
  type VmStep,
} from './vm-steps.ts';

export function vmSteps(plan: StepPlan): readonly VmStep[] {
  const ipv6 = planOfIpv6(plan);
  return [
    leaseStep(),
    resolveStep(HOST_NAME),
    ...pingSteps(plan),
    downloadStep(downloadUrl(plan)),
    uploadStep(plan.hostIp, plan.port),
    ...(ipv6 === undefined ? [] : ipv6Steps(ipv6)),
  ];
}

const pingSteps = (plan: StepPlan): readonly VmStep[] =>
  pings(plan).map(([step, address]) => pingStep(step, address));

const ipv6Steps = (plan: StepPlan): readonly VmStep[] => [
  ipv6Step(),
  ...[
    resolveStep(HOST_NAME, 'aaaa', plan.gateway),
    ...pingSteps(plan),
    downloadStep(downloadUrl(plan), IPV6_FILE),
  ].map(byIpv6),
];

/** What a step of the VM failed with. */
export function vmError({ words }: VmStepResult): Error {
  const text = words['error']?.replaceAll('_', ' ') ?? 'failed';
  return text.startsWith('left out: ') ? new LeftOutError(text.trim()) : new Error(text);
}

const OF_IPV6 = /-ipv6$/;

/** @param sum of the plan's bytes */
export async function checkVmStep(
  result: VmStepResult,
  plan: StepPlan,
  sum: string,
): Promise<StepReport> {
  const ipv6 = OF_IPV6.test(result.step) ? planOfIpv6(plan) : undefined;
  const outcome = (): Outcome =>
    ipv6 === undefined
      ? check(result, result.step, plan, sum)
      : check(
          result,
          result.step.replace(OF_IPV6, ''),
          ipv6,
          seededSha256(ipv6.seed, ipv6.sizeBytes),
        );
  const timed = async (): Promise<Outcome> => ({ ms: result.ms, ...outcome() });
  return await attempt(result.step, timed, () => {});
}

function check(result: VmStepResult, step: string, plan: StepPlan, sum: string): Outcome {
  const { words } = result;
  const { kernel = '', address = '', sha256 = '', rtt, bytes = '0' } = words;
  if (!result.ok) throw vmError(result);
  if (step === 'boot') return { detail: `Linux ${kernel}` };
  if (step === 'lease') return { detail: describeLease(words) };
  if (step === 'resolve') return checkAddress(address, plan);
  if (step === 'download' || step === 'upload') {
    return checkTransfer({ bytes: Number(bytes), sha256, ms: result.ms }, plan.sizeBytes, sum);
  }
  return rtt === undefined ? { detail: address } : { detail: address, ms: Number(rtt) };
}

const describeLease = ({
  address,
  mask,
  router,
  dns,
  mtu,
}: Readonly<Record<string, string>>): string =>
  `${address} mask ${mask}, router ${router}, DNS ${dns}, MTU ${mtu || 'not given'}, by busybox udhcpc`;
