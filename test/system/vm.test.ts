import assert from 'node:assert/strict';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import type { StepPlan } from '../../src/lab/step-plan.ts';
import { checkVmStep, vmSteps } from '../../src/lab/vm/planned-steps.ts';
import { startVm } from '../../src/lab/vm/start-vm.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, HOST, HTTP_PORT, Lab } from './support/lab.ts';

systemSuite('a QEMU virtual machine', [...LAB, 'vm'], function () {
  this.timeout(180_000);

  it('boots, gets a lease, resolves, pings, downloads and uploads 64 MiB', async () => {
    const lab = await Lab.open();
    try {
      const socket = lab.path('qemu.sock');
      await lab.startServers(lab.host);
      const daemon = await lab.startDaemon(['--listen', `qemu:${socket}`]);
      const plan: StepPlan = {
        gateway: GATEWAY,
        hostIp: HOST,
        port: HTTP_PORT,
        sizeBytes: 64 << 20,
        seed: 9,
      };
      const steps = vmSteps(plan);
      const vm = startVm({ link: socket, mode: 'connect', memoryMiB: 320, steps });
      try {
        const seen: string[] = [];
        const sum = seededSha256(plan.seed, plan.sizeBytes);
        for await (const result of vm.results) {
          const report = await checkVmStep(result, plan, sum);
          assert.ok(report.ok, `${report.step}: ${report.detail}`);
          seen.push(report.step);
        }
        const { status, tail } = await vm.ended;
        assert.equal(status, 0, tail.join('\n'));
        assert.deepEqual(seen, ['boot', ...steps.map((step) => step.name)]);
        assert.ok(daemon.isRunning);
      } finally {
        vm.kill();
      }
    } finally {
      await lab.close();
    }
  });
});
