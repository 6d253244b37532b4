/** `/services/dns/{all,add}` of gvproxy's API (`pkg/services/dns/dns.go`). */
import type { IpAddress } from '../../base/ip-address.ts';
import { parseAddress } from '../../services/address-text.ts';
import type {
  NamePattern,
  RecordZone,
  ZoneLimit,
  ZoneRecord,
  ZoneTable,
} from '../../services/dns/zone-table.ts';
import { parseGoJson } from '../ports/go-errors.ts';
import type { Answer, CompatRequest } from '../route.ts';
import { EMPTY, GoHttpError, goJson } from './go-http.ts';
import { goStruct, listOf, textOf } from './go-struct.ts';

/** As a client, or a file, names them. */
export interface RecordText {
  readonly name: string;
  readonly ip: string;
  readonly regexp: string | undefined;
}

export interface ZoneText {
  readonly name: string;
  readonly records: readonly RecordText[];
  /** Empty: none. */
  readonly defaultIP: string;
}

export async function dnsService(request: CompatRequest, zones: ZoneTable): Promise<Answer> {
  if (request.path.endsWith('/all')) return goJson(listing(zones));
  if (request.method !== 'POST') throw new GoHttpError(400, 'post only');
  const parsed = parseGoJson(request.body);
  if ('message' in parsed) throw new GoHttpError(400, parsed.message);
  try {
    await addZone(zones, zoneText(parsed.value));
  } catch (error) {
    throw new GoHttpError(400, error instanceof Error ? error.message : String(error));
  }
  return EMPTY;
}

/** @throws Error in the words of Go's decoder */
function zoneText(value: unknown): ZoneText {
  const zone = goStruct(value, 'types.Zone', 'Zone');
  return {
    name: textOf(zone, 'name', 'Zone.Name'),
    records: listOf(zone, 'records', 'Zone.Records', '[]types.Record').map((one) => {
      const record = goStruct(one, 'types.Record', 'Zone.Records');
      const regexp = textOf(record, 'regexp', 'Record.Records.Regexp');
      return {
        name: textOf(record, 'name', 'Record.Records.Name'),
        ip: textOf(record, 'ip', 'Record.Records.IP'),
        regexp: regexp === '' ? undefined : regexp,
      };
    }),
    defaultIP: textOf(zone, 'defaultip', 'Zone.DefaultIP'),
  };
}

/** @throws Error that says what is wrong with it */
export async function addZone(zones: ZoneTable, zone: ZoneText): Promise<void> {
  const records: ZoneRecord[] = [];
  let steps = 0;
  for (const { name, ip, regexp } of zone.records) {
    const pattern = await patternOf(regexp);
    steps += pattern?.steps ?? 0;
    if (steps > zones.freePatternSteps) throw noRoom('patterns'); // before the next is compiled
    records.push({ name, address: addressOf(ip), pattern });
  }
  const made: RecordZone = {
    name: zone.name,
    records,
    defaultAddress: addressOf(zone.defaultIP),
  };
  const limit = zones.add(made);
  if (limit !== undefined) throw noRoom(limit);
}

const noRoom = (limit: ZoneLimit): Error =>
  new Error(`there is no room for more ${limit} of DNS zones`);

async function patternOf(text: string | undefined): Promise<NamePattern | undefined> {
  if (text === undefined) return undefined;
  const { namePattern } = await import('../../services/dns/name-pattern.ts');
  return namePattern(text);
}

function addressOf(text: string): IpAddress | undefined {
  if (text === '') return undefined;
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`invalid IP address: ${text}`);
  return address;
}

/** Go writes a slice without anything in it as null. */
function listing({ zones }: ZoneTable): object | null {
  if (zones.length === 0) return null;
  return zones.map(({ name, records, defaultAddress }) => ({
    Name: name,
    Records:
      records.length === 0
        ? null
        : records.map((record) => ({
            Name: record.name,
            IP: record.address?.toString() ?? '',
            Regexp: record.pattern?.text,
          })),
    DefaultIP: defaultAddress?.toString() ?? '',
  }));
}
