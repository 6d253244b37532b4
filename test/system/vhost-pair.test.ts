/** A virtual machine by vhost-user and a guest on a tap: two kernels whose frames the stack only carries, in both families. */
import assert from 'node:assert/strict';
import { onPath } from '../../src/lab/on-path.ts';
import { seededSha256 } from '../../src/lab/seeded-stream.ts';
import { withLibraries } from '../../src/lab/vm/program-files.ts';
import { startVm, type VmHandle, type VmStepResult } from '../../src/lab/vm/start-vm.ts';
import {
  holdStep,
  ipv6Step,
  leaseStep,
  SERVED_PATH,
  serveStep,
  type VmStep,
} from '../../src/lab/vm/vm-steps.ts';
import { LAB, systemSuite } from '../support/requirements.ts';
import { SUBNET6, slaacAddress } from './support/ipv6.ts';
import { HTTP_PORT, Lab } from './support/lab.ts';

const BYTES = 16 << 20;
const SEED = 9;
const CURL = onPath('curl') ?? 'curl';

const fetchStep = (name: string, host: string): VmStep => ({
  name,
  script: `${CURL} -g -sS -m 60 -o /tmp/data 'http://${host}:${HTTP_PORT}/bytes/${BYTES}?seed=${SEED}' || exit 1
echo "sha256=$(sha256sum /tmp/data | cut -c1-64)"
`,
});
const addressesStep = (): VmStep => ({
  name: 'addresses',
  script: `echo "ipv4=$(ip -4 addr show dev eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p')"
echo "ipv6=$(ip -6 addr show dev eth0 scope global | sed -n 's/.*inet6 \\([0-9a-f:]*\\).*/\\1/p' | head -n 1)"
`,
});

systemSuite('a machine by vhost-user and a tap', [...LAB, 'vm', 'ipv6', 'curl'], function () {
  this.timeout(120_000);
  let lab: Lab;
  let vm: VmHandle | undefined;
  before(async () => {
    lab = await Lab.open();
  });
  after(async () => {
    vm?.kill();
    await vm?.ended;
    await lab.close();
  });

  it('16 MiB each way, in both families, sums equal', async () => {
    const socket = lab.path('vhost.sock');
    const guest = await lab.addGuest();
    const listen = ['--listen', guest.link, '--listen', `vhost-user:${socket}`];
    const daemon = await lab.startDaemon([...listen, '--subnet6', SUBNET6]);
    const { address } = await guest.lease();
    const address6 = await slaacAddress(guest);
    await lab.startServers(guest, '::');
    vm = startVm({
      ...{ link: socket, mode: 'vhost-user', memoryMiB: 320 },
      steps: [
        ...[leaseStep(), ipv6Step(), addressesStep()],
        ...[fetchStep('by4', address), fetchStep('by6', `[${address6}]`)],
        ...[serveStep(), holdStep()],
      ],
      extras: { modules: [], files: withLibraries([CURL]) },
    });
    const sum = seededSha256(SEED, BYTES);
    const seen = new Map<string, VmStepResult>();
    for await (const result of vm.results) {
      assert.ok(result.ok, `${result.step}: ${result.words['error']}`);
      seen.set(result.step, result);
      if (result.step === 'serve') break;
    }
    for (const step of ['by4', 'by6']) assert.equal(seen.get(step)?.words['sha256'], sum, step);
    const { ipv4 = '', ipv6 = '' } = seen.get('addresses')?.words ?? {};
    for (const host of [ipv4, `[${ipv6}]`]) {
      const curl = `curl -g -fsS -m 60 'http://${host}${SERVED_PATH}' | sha256sum`;
      assert.equal((await guest.run('sh', '-c', curl)).slice(0, 64), sum, host);
    }
    assert.doesNotMatch(await daemon.request('/metrics'), /bad-offload/);
  });
});
