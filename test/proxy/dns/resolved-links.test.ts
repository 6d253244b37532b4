import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsForwarder } from '../../../src/proxy/dns/forwarder.ts';
import { a, dataOf, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { FakeUpstream, makeForwarder, resolve, until } from './lab.ts';

describe('the domains of links', () => {
  let directory: string;
  let forwarder: DnsForwarder;
  let general: FakeUpstream;
  let vpn: FakeUpstream;

  const says = async (data: string): Promise<FakeUpstream> =>
    await new FakeUpstream((query) => [replyBytes(query, { answers: [a('x', data)] })]).start();
  const at = (path: string): string => join(directory, path);
  const asked = async (name: string): Promise<string> =>
    String(dataOf(await resolve(forwarder, queryBytes(name)))[0]);
  /** As systemd does it. */
  const writeState = (domains: string): void => {
    const path = at('systemd/resolve/netif/5');
    writeFileSync(`${path}.new`, `SERVERS=127.0.0.1:${vpn.server.port}\nDOMAINS=${domains}\n`);
    renameSync(`${path}.new`, path);
  };
  const start = (resolvConf: string): void => {
    forwarder = makeForwarder({
      resolvConf: at(resolvConf),
      following: { pollMs: 20, settleMs: 5 },
      timing: { attemptMs: 100, deadlineMs: 1000 },
    });
  };

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hawser-links-'));
    [general, vpn] = [await says('192.0.2.1'), await says('192.0.2.2')];
    mkdirSync(at('systemd/resolve/netif'), { recursive: true });
    const text = `nameserver 127.0.0.1#${general.server.port}\n`;
    for (const name of ['resolv.conf', 'stub-resolv.conf']) {
      writeFileSync(at(`systemd/resolve/${name}`), text);
      symlinkSync(at(`systemd/resolve/${name}`), at(name));
    }
  });
  afterEach(() => {
    forwarder.close();
    general.stop();
    vpn.stop();
    rmSync(directory, { recursive: true });
  });

  it('are asked at the servers of their link, and followed', async () => {
    writeState('~corp.example');
    start('resolv.conf');
    assert.equal(await asked('a.corp.example'), '192.0.2.2');
    assert.equal(await asked('a.example'), '192.0.2.1');
    writeState('~lab.example');
    await until(() => forwarder.domains.some(({ domain }) => domain === 'lab.example'));
    assert.equal(await asked('a.corp.example'), '192.0.2.1');
    assert.equal(await asked('a.lab.example'), '192.0.2.2');
    rmSync(at('systemd/resolve/netif/5'));
    await until(() => forwarder.domains.length === 0);
    assert.equal(await asked('b.lab.example'), '192.0.2.1');
  });

  it('may be every name', async () => {
    writeState('~.');
    start('resolv.conf');
    assert.equal(await asked('a.example'), '192.0.2.2');
  });

  it('are not read where the stub is used, or resolved is not', async () => {
    writeState('~corp.example');
    start('stub-resolv.conf');
    assert.equal(await asked('a.corp.example'), '192.0.2.1');
    assert.deepEqual(forwarder.domains, []);
  });
});
