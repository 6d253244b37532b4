/** The steps of a {@link StepPlan} for a VM, and the check of what it reports of them. */
import {
  checkAddress,
  checkTransfer,
  downloadUrl,
  HOST_NAME,
  pings,
  type StepPlan,
} from '../step-plan.ts';
import { attempt, type Outcome, type StepReport } from '../step-report.ts';
import type { VmStepResult } from './start-vm.ts';
import {
  downloadStep,
  leaseStep,
  pingStep,
  resolveStep,
  uploadStep,
  type VmStep,
} from './vm-steps.ts';

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

/** @param sum of the plan's bytes */
export async function checkVmStep(
  result: VmStepResult,
  plan: StepPlan,
  sum: string,
): Promise<StepReport> {
  const timed = async (): Promise<Outcome> => ({ ms: result.ms, ...check(result, plan, sum) });
  return await attempt(result.step, timed, () => {});
}

function check(result: VmStepResult, plan: StepPlan, sum: string): Outcome {
  const { words } = result;
  const { kernel = '', address = '', sha256 = '', rtt, bytes = '0' } = words;
  if (!result.ok) throw vmError(result);
  if (result.step === 'boot') return { detail: `Linux ${kernel}` };
  if (result.step === 'lease') return { detail: describeLease(words) };
  if (result.step === 'resolve') return checkAddress(address, plan);
  if (result.step === 'download' || result.step === 'upload') {
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
