import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { isAddressOfHost } from '../../src/native/address-of-host.ts';
import { describeNeeding, NAMESPACES } from '../support/requirements.ts';
import { Namespace } from './namespace.ts';

describe('native/address-of-host', () => {
  it('the loopback is one, an address of documentation is not', () => {
    assert.equal(isAddressOfHost('127.0.0.1'), true);
    assert.equal(isAddressOfHost('192.0.2.1'), false);
    assert.equal(isAddressOfHost('2001:db8::1'), false);
  });

  it('where nothing can be bound, the interfaces decide', () => {
    assert.equal(isAddressOfHost('127.0.0.1', null), true);
    assert.equal(isAddressOfHost('192.0.2.1', null), false);
  });
});

describeNeeding('native/address-of-host without descriptors', ['linux'], () => {
  it('while none is left, every address is taken for one', async () => {
    const module = new URL('../../src/native/address-of-host.js', import.meta.url);
    const script = `
      import { openSync } from 'node:fs';
      import { isAddressOfHost } from '${module}';
      const before = isAddressOfHost('192.0.2.1');
      try { for (;;) openSync('/dev/null'); } catch {}
      const during = ['192.0.2.1', '127.0.0.1'].map((address) => isAddressOfHost(address));
      process.send([before, ...during]);
    `;
    const limited = `ulimit -n 64; exec '${process.execPath}' --input-type=module`;
    const child = spawn('sh', ['-c', limited], { stdio: ['pipe', 'ignore', 'inherit', 'ipc'] });
    child.stdin?.end(script);
    const [found] = await once(child, 'message');
    assert.deepEqual(found, [false, true, true]);
  });
});

describeNeeding('native/address-of-host in a namespace', NAMESPACES, () => {
  let ns: Namespace;
  beforeEach(() => {
    ns = new Namespace();
  });
  afterEach(() => ns.remove());

  it('so is one of an interface that is down, and one of a local route', async () => {
    ns.ip('link add down0 type bridge');
    ns.ip('addr add 10.77.0.1/24 dev down0');
    ns.ip('addr add 10.77.0.2/24 dev down0');
    ns.ip('route add local 203.0.113.0/24 dev lo');
    const addresses = ['10.77.0.1', '10.77.0.2', '203.0.113.9', '10.77.0.3', '198.51.100.1'];
    const module = new URL('../../src/native/address-of-host.js', import.meta.url);
    const script = `import('${module}').then((m) => console.log(JSON.stringify(${JSON.stringify(addresses)}.map((a) => m.isAddressOfHost(a)))))`;
    const found = await ns.run(`'${process.execPath}' -e "${script.replaceAll('"', '\\"')}"`);
    assert.deepEqual(JSON.parse(found), [true, true, true, false, false]);
  });
});
