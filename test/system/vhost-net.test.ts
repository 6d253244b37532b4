/** The network card of a virtual machine, whose frames we serve in the guest's memory. */
import assert from 'node:assert/strict';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import type { StepPlan } from '../../src/lab/step-plan.ts';
import { checkVmStep, vmSteps } from '../../src/lab/vm/planned-steps.ts';
import { startVm, type VmHandle, type VmStepResult } from '../../src/lab/vm/start-vm.ts';
import { downloadStep, leaseStep, type VmStep } from '../../src/lab/vm/vm-steps.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { until } from './support/until.ts';

const PLAN: StepPlan = {
  gateway: GATEWAY,
  hostIp: HOST,
  port: HTTP_PORT,
  sizeBytes: 64 << 20,
  seed: 11,
};
const URL = `http://${HOST}:${HTTP_PORT}/bytes/${PLAN.sizeBytes}?seed=${PLAN.seed}`;
const SUM = seededSha256(PLAN.seed, PLAN.sizeBytes);

systemSuite('a network card by vhost-user', [...LAB, 'vm'], function () {
  this.timeout(180_000);
  let lab: Lab;
  let socket = '';
  const machines: VmHandle[] = [];

  beforeEach(async () => {
    lab = await Lab.open();
    socket = lab.path('vhost.sock');
    await lab.startServers(lab.host);
  });
  afterEach(async () => {
    for (const vm of machines.splice(0)) {
      vm.kill();
      await vm.ended;
    }
    await lab.close();
  });

  const boot = (steps: readonly VmStep[]): VmHandle => {
    const vm = startVm({ link: socket, mode: 'vhost-user', memoryMiB: 320, steps });
    machines.push(vm);
    return vm;
  };
  const checkedStep = async (result: VmStepResult): Promise<string> => {
    const report = await checkVmStep(result, PLAN, SUM);
    assert.ok(report.ok, `${report.step}: ${report.detail}`);
    return report.step;
  };
  /** Every step succeeds, and the machine ends well. */
  const runThrough = async (vm: VmHandle): Promise<readonly string[]> => {
    const seen: string[] = [];
    for await (const result of vm.results) seen.push(await checkedStep(result));
    const { status, tail } = await vm.ended;
    assert.equal(status, 0, tail.join('\n'));
    return seen;
  };

  it('boots, gets a lease, resolves, pings, downloads and uploads 64 MiB', async () => {
    const daemon = await lab.startDaemon(['--listen', `vhost-user:${socket}`]);
    const steps = vmSteps(PLAN);
    const seen = await runThrough(boot(steps));
    assert.deepEqual(seen, ['boot', ...steps.map((step) => step.name)]);
    assert.ok(daemon.isRunning);
  });

  it('QEMU killed amid a transfer and restarted: the next machine is served', async () => {
    const daemon = await lab.startDaemon(['--listen', `vhost-user:${socket}`]);
    const first = boot([leaseStep(), downloadStep(URL)]);
    await until('the transfer to be under way', async () => {
      const flow = await daemon.flowTo(HTTP_PORT);
      return (flow?.bytesToGuest ?? 0) > 4 << 20;
    });
    first.kill();
    await first.ended;
    const seen = await runThrough(boot([leaseStep(), downloadStep(URL)]));
    assert.deepEqual(seen, ['boot', 'lease', 'download']);
  });

  it('the daemon killed and restarted: QEMU connects again, and the machine goes on', async () => {
    const first = await lab.startDaemon(['--listen', `vhost-user:${socket}`]);
    const ping = `ping -c 1 -w 1 ${GATEWAY}`;
    const cut: VmStep = {
      name: 'cut',
      script: `while ${ping}; do usleep 50000; done >/dev/null\n`,
    };
    const back: VmStep = { name: 'back', script: `until ${ping}; do :; done >/dev/null\n` };
    const seen: string[] = [];
    for await (const result of boot([leaseStep(), cut, back, downloadStep(URL)]).results) {
      seen.push(await checkedStep(result));
      if (result.step === 'lease') await first.stop('SIGKILL');
      if (result.step === 'cut') await lab.startDaemon(['--listen', `vhost-user:${socket}`]);
    }
    assert.deepEqual(seen, ['boot', 'lease', 'cut', 'back', 'download']);
  });
});
