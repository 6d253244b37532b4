import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Log, SILENT } from '../../src/base/log.ts';
import { KeptNames } from '../../src/network/kept-names.ts';
import { GuestNames } from '../../src/proxy/flows/guest-names.ts';
import type { Guest } from '../../src/stack/guest.ts';
import { macOf } from '../../src/wire/mac.ts';
import { ip } from '../proxy/recording.ts';
import { a, queryBytes, replyBytes } from '../services/dns/dns-wire.ts';
import { RecordingLog } from '../support/recording-log.ts';
import { testGuest } from '../support/test-guest.ts';

const MAC = macOf('52:54:00:12:34:56');
const AT = ip('192.0.2.1');

describe('network/kept-names', () => {
  let dir: string;
  let file: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'hawser-test-'));
    file = join(dir, 'sub', 'names');
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  /** A daemon whose clock begins anew. */
  const daemon = (path: string | undefined = file, log: Log = SILENT) => {
    const links = new Map<Guest, string>();
    const names = new GuestNames();
    const clock = { ms: 5, now: () => clock.ms };
    const kept = new KeptNames({
      ...{ names, clock, log, file: path },
      linkOf: (guest) => links.get(guest),
    });
    const attach = (link: string, mac = MAC): Guest => {
      const guest = testGuest();
      links.set(guest, link);
      guest.addMac(mac);
      kept.onHeard(guest, mac);
      return guest;
    };
    const learn = (guest: Guest, name = 'a.test', ttl = 900): void =>
      names.learn(
        clock.ms,
        guest,
        replyBytes(queryBytes(name), { answers: [a(name, '192.0.2.1', ttl)] }),
      );
    const known = (guest: Guest): readonly string[] => names.all(clock.ms, guest, AT);
    return { names, clock, kept, attach, learn, known };
  };

  it('over a restart: on the same link with the same Ethernet address, and nowhere else', () => {
    const before = daemon();
    const guest = before.attach('tap:vm');
    before.learn(guest);
    before.learn(guest, 'b.test', 1);
    before.clock.ms += 40_000;
    before.kept.close();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const after = daemon();
    assert.deepEqual(after.known(after.attach('tap:other')), []);
    assert.deepEqual(after.known(after.attach('tap:vm', MAC + 4)), []);
    const again = after.attach('tap:vm');
    assert.deepEqual(after.known(again), ['a.test']);
    assert.equal(after.names.find(after.clock.ms, again, AT), 'b.test');
    assert.deepEqual(after.known(after.attach('tap:vm')), []);
    after.clock.ms += 900_001;
    assert.deepEqual(after.known(again), []);
    after.kept.close();
  });

  it('over the end of a link, and without a file as well', () => {
    const { names, kept, attach, learn, known } = daemon(undefined);
    const guest = attach('tap:vm');
    learn(guest);
    kept.onGone(guest);
    names.forget(guest);
    assert.deepEqual(known(guest), []);
    assert.deepEqual(known(attach('tap:vm')), ['a.test']);
    kept.close();
  });

  it('those of a guest that does not come back are kept over the next restart too', () => {
    const first = daemon();
    first.learn(first.attach('tap:vm'));
    first.kept.close();
    daemon().kept.close();
    const third = daemon();
    assert.deepEqual(third.known(third.attach('tap:vm')), ['a.test']);
    third.kept.close();
  });

  it('a damaged file costs a warning', () => {
    writeFileSync(join(dir, 'names'), '{"version":1,"guests":[{"guest":7}]}');
    const log = new RecordingLog();
    daemon(join(dir, 'names'), log).kept.close();
    assert.equal(log.lines.length, 1);
    assert.match(readFileSync(join(dir, 'names'), 'utf8'), /"guests":\[\]/);
  });

  it('warns once where the file cannot be written', () => {
    const log = new RecordingLog();
    const { kept } = daemon(file, log);
    writeFileSync(join(dir, 'sub'), 'a file where a directory is needed');
    kept.close();
    kept.close();
    assert.equal(log.lines.length, 1);
  });
});
