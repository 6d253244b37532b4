import assert from 'node:assert/strict';
import { onPath } from '../../src/lab/on-path.ts';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import type { StepPlan } from '../../src/lab/step-plan.ts';
import { checkVmStep } from '../../src/lab/vm/planned-steps.ts';
import { withLibraries } from '../../src/lab/vm/program-files.ts';
import { startVm, type VmStepResult } from '../../src/lab/vm/start-vm.ts';
import { downloadStep, leaseStep, uploadStep, type VmStep } from '../../src/lab/vm/vm-steps.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, HOST, HTTP_PORT, Lab } from './support/lab.ts';

const SIZE = 100_000_000;
const LEAST_LOSSES = 500;
const NETEM = 'netem limit 10000 loss 2% delay 1ms reorder 2% 50%';
/** By their paths: busybox has a small `tc` of its own, which its shell prefers. */
const TC = onPath('tc');
const ETHTOOL = onPath('ethtool');
const MODULES = ['ifb', 'sch_netem', 'sch_ingress', 'cls_matchall', 'act_mirred'] as const;

/**
 * Impair both directions by the guest's own kernel: what it sends on its card, what it receives on
 * an `ifb` that the card's ingress is redirected to. Without GSO and GRO, which would have a whole
 * burst lost, delayed or overtaken as one packet.
 */
const impairStep: VmStep = {
  name: 'impair',
  script: `set -e
for module in ${MODULES.join(' ')}; do
  if [ -e /modules/$module.ko ]; then insmod /modules/$module.ko; fi
done
${ETHTOOL} -K eth0 gso off tso off gro off
ifconfig ifb0 up
${TC} qdisc add dev eth0 root ${NETEM}
${TC} qdisc add dev ifb0 root ${NETEM}
${TC} qdisc add dev eth0 ingress
${TC} filter add dev eth0 parent ffff: protocol all matchall action mirred egress redirect dev ifb0
echo impaired=1
`,
};

/** What netem dropped; `limit` was never reached, or a full queue would count as loss. */
const lossStep: VmStep = {
  name: 'losses',
  script: `dropped() { ${TC} -s qdisc show dev $1 root | awk '/dropped/ { sub(",", "", $7); print $7; exit }'; }
echo "sent=$(dropped eth0) received=$(dropped ifb0)"
`,
};

systemSuite('a QEMU virtual machine behind netem', [...LAB, 'vm', 'tc', 'ethtool'], function () {
  this.timeout(300_000);

  it('100 MB each way through loss, delay and reordering; sums equal', async () => {
    const lab = await Lab.open();
    try {
      const socket = lab.path('qemu.sock');
      await lab.startServers(lab.host);
      await lab.startDaemon(['--listen', `qemu:${socket}`]);
      const plan: StepPlan = {
        gateway: GATEWAY,
        hostIp: HOST,
        port: HTTP_PORT,
        sizeBytes: SIZE,
        seed: 21,
      };
      const results = await runVm(socket, [
        leaseStep(),
        impairStep,
        downloadStep(`http://${HOST}:${HTTP_PORT}/bytes/${SIZE}?seed=${plan.seed}`),
        uploadStep(HOST, HTTP_PORT),
        lossStep,
      ]);
      const sum = seededSha256(plan.seed, SIZE);
      for (const step of ['download', 'upload']) {
        const result = results.get(step);
        assert.ok(result, `${step} was reached`);
        const report = await checkVmStep(result, plan, sum);
        assert.ok(report.ok, `${step}: ${report.detail}`);
      }
      const losses = results.get('losses')?.words ?? {};
      for (const direction of ['sent', 'received']) {
        assert.ok(Number(losses[direction]) > LEAST_LOSSES, JSON.stringify(losses));
      }
    } finally {
      await lab.close();
    }
  });
});

/** @returns the results by name; all of them are good */
async function runVm(
  link: string,
  steps: readonly VmStep[],
): Promise<ReadonlyMap<string, VmStepResult>> {
  const extras = { modules: MODULES, files: withLibraries(['tc', 'ethtool']) };
  const vm = startVm({ link, mode: 'connect', memoryMiB: 384, steps, extras });
  try {
    const results = new Map<string, VmStepResult>();
    for await (const result of vm.results) {
      assert.ok(result.ok, `${result.step}: ${JSON.stringify(result.words)}`);
      results.set(result.step, result);
    }
    const { status, tail } = await vm.ended;
    assert.equal(status, 0, tail.join('\n'));
    return results;
  } finally {
    vm.kill();
  }
}
