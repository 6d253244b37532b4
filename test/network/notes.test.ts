/** A guest without a network, as the log shows it at `debug`. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Log, SILENT } from '../../src/base/log.ts';
import { startFileServer } from '../../src/lab/file-server.ts';
import type { GuestAcceptor } from '../../src/lab/guest/embedded-guest.ts';
import { SimulatedGuest } from '../../src/lab/guest/simulated-guest.ts';
import { addressesOf } from '../../src/network/addresses.ts';
import { checkOptions } from '../../src/network/check-options.ts';
import { openNetwork } from '../../src/network/network.ts';
import { noteIpv6, noteName, noteRefused } from '../../src/network/notes.ts';
import { parseAddress } from '../../src/services/address-text.ts';
import { NXDOMAIN, REFUSED, readQuery, SERVFAIL } from '../../src/services/dns/message.ts';
import { optionsIn } from '../cli/fake-network.ts';
import { queryBytes } from '../services/dns/dns-wire.ts';
import { RecordingLog } from '../support/recording-log.ts';

const HOST = '192.168.127.254';
const isAcceptor = (network: object): network is GuestAcceptor => 'attachSegment' in network;

describe('network/notes', () => {
  it('only a name that does not exist is not found', () => {
    const record = new RecordingLog();
    const query = readQuery(queryBytes('a.example'));
    assert.ok(typeof query === 'object');
    for (const rcode of [SERVFAIL, NXDOMAIN, REFUSED]) {
      noteName(query, rcode, record);
    }
    assert.deepEqual(
      record.lines.map(({ message }) => message),
      ['name not resolved', 'name not found', 'name not resolved'],
    );
  });

  it('refused frames are noted each time their number has doubled, as warnings where they may harm', () => {
    const record = new RecordingLog();
    for (let framesRefused = 1; framesRefused <= 100; framesRefused++) {
      const link = { name: 'tap:a', guest: { framesRefused } };
      noteRefused(link, framesRefused < 8 ? 'guest-not-ip' : 'arp-claims-foreign-address', record);
    }
    assert.equal(record.lines.map(({ level }) => level[0]).join(''), 'dddwwww');
  });

  for (const [what, options, ofHost, expected] of [
    ['guests have the network that was asked for', {}, undefined, []],
    ['an MTU below 1280', { mtu: 1_000 }, undefined, ['info']],
    ["the host's network, and it has one", { subnet6: 'host' }, '2001:db8::7', []],
    ["the host's network, and it has none", { subnet6: 'host' }, undefined, ['warn']],
    [
      "the host's network, which guests are not to have",
      { subnet6: 'host', ipv6: 'off' },
      undefined,
      [],
    ],
  ] as const) {
    it(`IPv6 that is not what the options ask for is noted: ${what}`, () => {
      const record = new RecordingLog();
      const config = checkOptions(options);
      const prefix = ofHost === undefined ? undefined : parseAddress(ofHost);
      noteIpv6(config, addressesOf(config, prefix), record);
      assert.deepEqual(
        record.lines.map(({ level }) => level),
        expected,
      );
    });
  }

  const lines: { readonly message: string; readonly fields: object }[] = [];
  const log: Log = {
    ...SILENT,
    debug: (fields, message) => {
      lines.push({ message, fields });
    },
  };
  const said = async (message: string): Promise<Readonly<Record<string, unknown>>> => {
    for (;;) {
      const line = lines.find((one) => one.message === message);
      if (line !== undefined) return { ...line.fields };
      await new Promise(setImmediate);
    }
  };

  it('guests, leases, ports, connections that failed or were refused, names without an answer', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    const free = await startFileServer('127.0.0.1', 0);
    const address = free.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const network = await openNetwork(optionsIn(dir, { listen: ['qemu:127.0.0.1:0'] }), log);
    network.denyProcess([]);
    const guest = new SimulatedGuest();
    try {
      assert.ok(isAcceptor(network));
      guest.attach(network);
      const { address: own } = await guest.lease();
      assert.equal((await said('lease granted'))['address'], own);

      await network.publish('127.0.0.1:0:80');
      assert.equal((await said('port published'))['guestPort'], 80);

      const get = (target: string): Promise<unknown> =>
        guest.download(`http://${target}/bytes/1?seed=1`, () => {});
      await assert.rejects(get(`${HOST}:${port}`));
      const refused = await said('connection refused');
      assert.deepEqual((await said('guest attached'))['addresses'], [own]);
      assert.equal(refused['to'], `${HOST}:${port}`);
      assert.equal(refused['reason'], 'own-listener', 'the server is in this process');
      free.close();
      await assert.rejects(get(`${HOST}:1`));
      assert.equal((await said('connection failed'))['reason'], 'ECONNREFUSED');

      assert.equal(await guest.resolve('nobody.hawser.internal'), '');
      assert.deepEqual(await said('name not found'), {
        name: 'nobody.hawser.internal',
        type: 'A',
        answer: 'NXDOMAIN',
      });
    } finally {
      await network.close();
      await guest.close();
      free.closeAllConnections();
      free.close();
      rmSync(dir, { recursive: true });
    }
  });
});
