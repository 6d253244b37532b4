import assert from 'node:assert/strict';
import { startFileServer } from '../../src/lab/file-server.ts';
import type { StepPlan } from '../../src/lab/step-plan.ts';
import { vmSteps } from '../../src/lab/vm/planned-steps.ts';
import { startVm } from '../../src/lab/vm/start-vm.ts';
import { createNetwork } from '../../src/network/create-network.ts';
import { systemSuite } from '../support/requirements.ts';
import { takesSteps } from './support/vm-steps.ts';

systemSuite('a QEMU virtual machine on a descriptor of the child', ['vm'], function () {
  this.timeout(180_000);

  it('gets a lease, resolves, pings, downloads and uploads 16 MiB, and its end is that of the link', async () => {
    const server = await startFileServer('127.0.0.1', 0);
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const network = await createNetwork();
    const { gateway, hostIp } = network.view.info();
    const plan: StepPlan = {
      gateway,
      hostIp: hostIp ?? '',
      port: address.port,
      sizeBytes: 16 << 20,
      seed: 9,
    };
    const vm = startVm({ link: '', mode: 'fd', memoryMiB: 320, steps: vmSteps(plan) });
    try {
      assert.ok(vm.card !== undefined);
      const link = network.attach(vm.card, { name: 'qemu' });
      await takesSteps(vm, plan);
      await link.closed;
      assert.deepEqual(network.view.info().links, []);
    } finally {
      vm.kill();
      await network.close();
      server.closeAllConnections();
      server.close();
    }
  });
});
