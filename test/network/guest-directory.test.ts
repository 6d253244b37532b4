import assert from 'node:assert/strict';
import { GuestDirectory, type GuestPlace } from '../../src/network/guest-directory.ts';
import type { Lease, LeaseState } from '../../src/services/dhcp/lease.ts';
import { RecordingLog } from '../cli/agent/pair.ts';
import { ip } from '../proxy/recording.ts';

const A = '52:54:00:00:00:0a';
const B = '52:54:00:00:00:0b';
const HELD: ReadonlySet<LeaseState> = new Set(['bound', 'reserved']);
const numberOf = (mac: string): number => Number.parseInt(mac.replaceAll(':', ''), 16);

describe('network/guest-directory', () => {
  let places: GuestPlace[];
  let leases: Lease[];
  let log: RecordingLog;
  let statics: { mac: string; hostname: string | undefined }[];
  let directory: GuestDirectory;
  /** Passes over all places, or all leases. */
  let scans: number;

  const make = (): GuestDirectory =>
    new GuestDirectory({
      forEachPlace: (visit) => {
        scans++;
        places.forEach(visit);
      },
      placeAt: (address) => places.find((place) => place.address.equals(address)),
      leases: () => {
        scans++;
        return leases;
      },
      holderAt: (address) => {
        const held = leases.find((lease) => lease.address === `${address}`);
        return held === undefined || !HELD.has(held.state) ? 0 : numberOf(held.mac);
      },
      staticLeases: statics,
      log,
    });

  beforeEach(() => {
    places = [];
    leases = [];
    statics = [];
    scans = 0;
    log = new RecordingLog();
    directory = make();
  });

  const comes = (mac: string, address: string, attachedAt: number): void => {
    places = places.filter((place) => `${place.address}` !== address);
    places.push({ mac: numberOf(mac), address: ip(address), port: { attachedAt } });
    directory.onGuestHeard(numberOf(mac));
  };
  const goes = (mac: string): void => {
    places = places.map((place) =>
      place.mac === numberOf(mac) ? { ...place, port: undefined } : place,
    );
  };
  const leased = (mac: string, address: string, hostname?: string, state: LeaseState = 'bound') => {
    leases = leases.filter((lease) => lease.address !== address);
    const name = hostname === undefined ? {} : { hostname };
    leases.push({ mac, address, ...name, expiresAtMs: 1, static: false, state });
    directory.onLeases();
  };
  const first = { guestAddress: undefined };
  const named = (name: string) => ({ ...first, guest: { kind: 'name', name } as const });

  it('the first guest is the one that has been there for longest, and stays it', () => {
    comes(B, '192.168.127.2', 20);
    comes(A, '192.168.127.3', 10);
    const target = directory.targetOf(first);
    assert.equal(`${target.address}`, '192.168.127.3');
    goes(A);
    assert.deepEqual([target.mac, target.attached], [A, false]);
    comes(A, '192.168.127.9', 30); // with another address
    assert.deepEqual([`${target.address}`, target.attached], ['192.168.127.9', true]);
  });

  it('published before any guest came, it is the first to come, and no later one', () => {
    const target = directory.targetOf(first);
    assert.deepEqual([target.mac, target.address, target.attached], [undefined, undefined, false]);
    comes(A, '192.168.127.2', 1);
    goes(A);
    comes(B, '192.168.127.3', 2);
    assert.equal(target.mac, A);
    assert.equal(directory.targetOf(first).mac, B);
  });

  it('who is at an address is found without looking through all guests', () => {
    comes(A, '192.168.127.2', 1);
    leased(B, '192.168.127.3');
    const before = scans;
    for (const [address, mac, attached] of [
      ['192.168.127.2', A, true],
      ['192.168.127.3', B, false],
      ['192.168.127.4', undefined, false],
    ] as const) {
      const target = directory.targetOf({ guestAddress: ip(address) });
      assert.deepEqual([target.mac, target.attached], [mac, attached]);
    }
    assert.equal(scans, before);
  });

  it('a withdrawn port waits for nobody', () => {
    const target = directory.targetOf(first);
    target.release();
    comes(A, '192.168.127.2', 1);
    assert.equal(target.mac, undefined);
  });

  it('a name is looked up when a client comes: by DHCP, in any case', () => {
    const target = directory.targetOf(named('web'));
    assert.equal(target.address, undefined);
    leased(A, '192.168.127.2', 'Web');
    assert.deepEqual(
      [`${target.address}`, target.mac, target.attached],
      ['192.168.127.2', A, false],
    );
    comes(A, '192.168.127.2', 1);
    assert.equal(target.attached, true);
    leased(A, '192.168.127.2', 'other');
    assert.equal(target.address, undefined);
  });

  it('a name of two guests stays with the one that had it first, with one warning', () => {
    leased(A, '192.168.127.3', 'web');
    leased(B, '192.168.127.2', 'web');
    leased(B, '192.168.127.2', 'web');
    const target = directory.targetOf(named('web'));
    assert.equal(target.mac, A);
    assert.equal(log.lines.length, 1);
    assert.match(JSON.stringify(log.lines[0]), /two guests claim one name/);
    leased(A, '192.168.127.3', 'web', 'released');
    assert.equal(target.mac, B);
  });

  it("a static lease's name is its guest's, whatever another calls itself", () => {
    statics = [{ mac: A, hostname: 'Web' }];
    directory = make();
    leased(B, '192.168.127.2', 'web');
    leased(A, '192.168.127.9', undefined, 'reserved');
    const target = directory.targetOf(named('web'));
    assert.deepEqual([target.mac, `${target.address}`], [A, '192.168.127.9']);
    assert.equal(log.lines.length, 1);
  });

  it('of several addresses of one guest the leased one is dialled, or else the lowest', () => {
    const target = directory.targetOf({ ...first, guest: { kind: 'mac', mac: A } });
    comes(A, '192.168.127.7', 1);
    comes(A, '192.168.127.5', 1);
    assert.equal(`${target.address}`, '192.168.127.5');
    leased(A, '192.168.127.7');
    assert.equal(`${target.address}`, '192.168.127.7');
  });

  it('an address is what it says, and shows who has it', () => {
    const target = directory.targetOf({ guestAddress: ip('192.168.127.4') });
    assert.deepEqual([`${target.address}`, target.mac], ['192.168.127.4', undefined]);
    comes(B, '192.168.127.4', 1);
    assert.deepEqual([target.mac, target.attached], [B, true]);
  });
});
