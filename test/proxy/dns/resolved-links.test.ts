import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DnsForwarder } from '../../../src/proxy/dns/forwarder.ts';
import { ResolvedLinks } from '../../../src/proxy/dns/resolved-links.ts';
import { a, dataOf, queryBytes, replyBytes } from '../../services/dns/dns-wire.ts';
import { RecordingLog } from '../../support/recording-log.ts';
import { FakeUpstream, makeForwarder, resolve, until } from './lab.ts';

const NOBODY = 65_534;

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

describe('links that may not be read', () => {
  let directory: string;
  const at = (path: string): string => join(directory, path);
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'hawser-links-'));
    chmodSync(directory, 0o711);
    for (const path of ['systemd/resolve/netif', 'systemd/netif/links']) {
      mkdirSync(at(path), { recursive: true });
    }
    writeFileSync(at('systemd/resolve/resolv.conf'), '');
    for (const link of [7, 8]) writeFileSync(at(`systemd/netif/links/${link}`), '', { mode: 0 });
    chmodSync(at('systemd/resolve/netif'), 0);
  });
  afterEach(() => {
    chmodSync(at('systemd/resolve/netif'), 0o700);
    rmSync(directory, { recursive: true });
  });

  /** With the rights of somebody else than root. */
  const asUser = (run: () => void): void => {
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(NOBODY);
    try {
      run();
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  };

  it('are said once for each directory', () => {
    const log = new RecordingLog();
    asUser(() => {
      const links = new ResolvedLinks(() => {}, log);
      const path = at('systemd/resolve/resolv.conf');
      for (let reads = 0; reads < 3; reads++) assert.deepEqual(links.of(path), []);
      links.close();
    });
    const [programs, networkd] = [at('systemd/resolve/netif'), at('systemd/netif/links')];
    assert.deepEqual(
      log.lines.map(({ level, fields }) => ({ level, fields })),
      [
        { directory: programs, reason: `EACCES: permission denied, scandir '${programs}'` },
        { directory: networkd, reason: `EACCES: permission denied, open '${networkd}/7'` },
      ].map((fields) => ({ level: 'warn', fields })),
    );
    for (const { message } of log.lines) assert.match(message, /^the domains of the host's links/);
  });
});
