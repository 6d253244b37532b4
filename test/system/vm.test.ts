import assert from 'node:assert/strict';
import type { StepPlan } from '../../src/lab/step-plan.ts';
import { vmSteps } from '../../src/lab/vm/planned-steps.ts';
import { startVm } from '../../src/lab/vm/start-vm.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { GATEWAY, HOST, HTTP_PORT, Lab } from './support/lab.ts';
import { takesSteps } from './support/vm-steps.ts';

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
      const vm = startVm({ link: socket, mode: 'connect', memoryMiB: 320, steps: vmSteps(plan) });
      try {
        await takesSteps(vm, plan);
        assert.ok(daemon.isRunning);
      } finally {
        vm.kill();
      }
    } finally {
      await lab.close();
    }
  });
});
