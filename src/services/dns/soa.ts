/** The SOA record of negative answers that are made here (RFC 2308 §3): it lets the client remember them. */
import { type Answer, encode } from 'dns-packet';
import { once } from '../../base/once.ts';
import { CLASS_IN, eachRecord, TYPE_SOA } from './message.ts';
import type { NewRecord } from './message-writer.ts';

/** Short: names, addresses and routes of guests change. */
export const LOCAL_TTL_S = 10;

const SERVER = 'hawser.internal';

/** @param ttlS how long the client remembers that there is nothing */
export function soa(zone: string, ttlS: number = LOCAL_TTL_S): Answer {
  return {
    type: 'SOA',
    name: zone,
    ttl: ttlS,
    data: {
      mname: `gateway.${SERVER}`,
      rname: `hostmaster.${SERVER}`,
      serial: 1,
      refresh: 3600,
      retry: 600,
      expire: 86_400,
      minimum: ttlS,
    },
  };
}

/** @param owner the zone, as in messages */
export const soaRecord = (owner: Uint8Array): NewRecord => ({
  owner,
  type: TYPE_SOA,
  klass: CLASS_IN,
  ttlS: LOCAL_TTL_S,
  data: soaData(),
});

const soaData = once((): Uint8Array => {
  const message = encode({ type: 'response', authorities: [soa('.')] });
  let data = new Uint8Array(0);
  eachRecord(message, ({ dataOff, end }) => {
    data = new Uint8Array(message.subarray(dataOff, end));
  });
  return data;
});
