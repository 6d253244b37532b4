/** The self-check of a QEMU VM: its own steps as it reports them, and the host's beside them. */

import { seededSha256 } from '../../lab/seeded-stream.ts';
import { planOfIpv6, type StepPlan } from '../../lab/step-plan.ts';
import { LeftOutError } from '../../lab/step-report.ts';
import { AGENT_MIB, type AgentInVm, agentInVm } from '../../lab/vm/agent-files.ts';
import { checkVmStep, vmError, vmSteps } from '../../lab/vm/planned-steps.ts';
import { startVm, type VmHandle, type VmStepResult } from '../../lab/vm/start-vm.ts';
import {
  agentStep,
  holdStep,
  RELEASE_PATH,
  SERVED_PATH,
  SERVED_PATH_IPV6,
  serveStep,
} from '../../lab/vm/vm-steps.ts';
import { messageOf } from '../../network/errors.ts';
import {
  MUX_PORT,
  type PublishingHost,
  runPublishedSteps,
  type Served,
} from './published-steps.ts';
import type { StepRunner } from './step-runner.ts';

export interface VmCheckOptions {
  /** The QEMU socket that the network listens on. */
  readonly socket: string;
  readonly plan: StepPlan;
  readonly runner: StepRunner;
  readonly host: PublishingHost;
  /** The VM runs: it is the caller's to kill. */
  readonly onStart: (vm: VmHandle) => void;
}

const MAC = '52:54:00:68:77:02';
/** The VM's kernel, busybox and buffers. */
const SPARE_MIB = 256;

/** Run every step; those after the VM has ended early are not tried. */
export async function checkVm(options: VmCheckOptions): Promise<void> {
  const { socket, plan, runner, host, onStart } = options;
  const sum = seededSha256(plan.seed, plan.sizeBytes);
  const agent = findAgent();
  const own = vmSteps(plan);
  const hasAgent = typeof agent !== 'string';
  const vm = startVm({
    link: socket,
    mode: 'connect',
    memoryMiB: plan.sizeBytes / 1024 / 1024 + SPARE_MIB + (hasAgent ? AGENT_MIB : 0),
    steps: [
      ...own,
      ...(hasAgent ? [agentStep(agent.node, agent.entry, `tcp:0.0.0.0:${MUX_PORT}`)] : []),
      ...[serveStep(), holdStep()],
    ],
    extras: { modules: [], files: hasAgent ? agent.files : [] },
    mac: MAC,
  });
  onStart(vm);
  const results = vm.results[Symbol.asyncIterator]();
  const next = async (): Promise<VmStepResult> => {
    const { value, done } = await results.next();
    if (done !== true) return value;
    const { tail } = await vm.ended;
    throw new Error(`the VM ended: ${tail.slice(-3).join(' | ')}`);
  };
  const passed = async (): Promise<VmStepResult> => {
    const result = await next();
    if (!result.ok) throw vmError(result);
    return result;
  };
  let address = '';
  let address6: string | undefined;
  for (const step of ['boot', ...own.map(({ name }) => name)]) {
    runner.begin(step);
    try {
      const result = await next();
      if (step === 'lease') address = result.words['address'] ?? '';
      if (step === 'address-ipv6') address6 = result.words['address'];
      runner.end(await checkVmStep(result, plan, sum));
    } catch (error) {
      runner.end({ step, ok: false, ms: 0, detail: messageOf(error) });
      return;
    }
  }
  const startAgent = async (): Promise<string> => {
    if (!hasAgent) throw new LeftOutError(`left out: no agent can be put into the VM (${agent})`);
    await passed();
    return "hawser agent in the VM, on this machine's Node";
  };
  const serve = async (): Promise<Served> => {
    const { words } = await passed();
    const ipv6 = planOfIpv6(plan);
    return {
      address,
      port: Number(words['port']),
      path: SERVED_PATH,
      ipv6:
        ipv6 === undefined || address6 === undefined
          ? undefined
          : { address: address6, plan: ipv6, path: SERVED_PATH_IPV6 },
    };
  };
  const url = await runPublishedSteps(runner, host, plan, sum, startAgent, serve);
  try {
    const released = await fetch(`${url}${RELEASE_PATH}`, { signal: AbortSignal.timeout(10_000) });
    await released.text();
  } catch {
    vm.kill(); // what failed has been reported
  }
  await vm.ended;
}

/** @returns why the VM cannot have an agent */
function findAgent(): AgentInVm | string {
  try {
    return agentInVm();
  } catch (error) {
    return messageOf(error);
  }
}
