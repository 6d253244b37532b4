/** `/v1/dns/records`: names that the gateway's DNS has by itself, until they are taken away or the daemon ends. */
import * as z from 'zod';
import { once } from '../base/once.ts';
import { parseAddress } from '../services/address-text.ts';
import {
  NAME_RECORDS_MAX,
  type NameRecord,
  type NameRecords,
  recordName,
} from '../services/dns/name-records.ts';
import { asciiName } from './ascii-name.ts';
import { problem, quoted } from './problem.ts';
import { type Answer, type Call, JSON_TYPE, json, type Route } from './route.ts';
import type { Schema } from './schema.ts';

export interface DnsRecordView {
  readonly name: string;
  readonly address: string;
}

export const dnsRecordSchema: Schema<DnsRecordView> = once(() =>
  z.object({ name: z.string(), address: z.string() }),
);
export const dnsRecordsSchema: Schema<{ readonly records: readonly DnsRecordView[] }> = once(() =>
  z.object({ records: z.array(dnsRecordSchema()) }),
);
const requestSchema: Schema<DnsRecordView> = once(() =>
  z.strictObject({ name: z.string(), address: z.string() }),
);

export interface DnsTarget {
  readonly view: { readonly dnsRecords: NameRecords };
}

const viewOf = ({ name, address }: NameRecord): DnsRecordView => ({
  name,
  address: address.toString(),
});

function addressOf(text: string): NameRecord['address'] {
  const address = parseAddress(text);
  if (address !== undefined) return address;
  throw problem(400, `address ${quoted(text)}: must be an IPv4 or IPv6 address.`);
}

function add({ body }: Call, { view }: DnsTarget): Answer {
  const request = requestSchema().safeParse(body);
  if (!request.success) {
    throw problem(400, 'The body must be {"name": "NAME", "address": "IP"}.');
  }
  const { name, address } = request.data;
  const record = { name: recordName(asciiName(name)), address: addressOf(address) };
  switch (view.dnsRecords.add(record)) {
    case 'name':
      throw problem(
        400,
        `name ${quoted(name)}: must be one host name, such as db.test. Of a name and all below it: --dns-zone.`,
      );
    case 'full':
      throw problem(503, `There are ${NAME_RECORDS_MAX} records already: delete some.`);
    case undefined:
      return json(viewOf(record), 201);
  }
}

function remove({ query }: Call, { view }: DnsTarget): Answer {
  const name = recordName(asciiName(query.get('name') ?? ''));
  const text = query.get('address');
  const removed = view.dnsRecords.remove(name, text === undefined ? text : addressOf(text));
  if (removed > 0) return { status: 204, body: undefined, mediaType: JSON_TYPE };
  throw problem(404, `There is no such record of ${quoted(name)}: see /v1/dns/records.`);
}

const PATH = { path: '/v1/dns/records', mediaType: JSON_TYPE } as const;

export const DNS_ROUTES: readonly Route<DnsTarget>[] = [
  {
    ...PATH,
    method: 'GET',
    summary: 'Names that were given addresses while the daemon runs.',
    query: [],
    success: 200,
    schema: dnsRecordsSchema,
    body: undefined,
    handle: (_call, { view }) => json({ records: view.dnsRecords.list().map(viewOf) }),
  },
  {
    ...PATH,
    method: 'POST',
    summary: 'Give a name an address, beside those that it was given before.',
    query: [],
    success: 201,
    schema: dnsRecordSchema,
    body: requestSchema,
    handle: add,
  },
  {
    ...PATH,
    method: 'DELETE',
    summary: 'Take a name’s address away, or all that it was given.',
    query: [
      { name: 'name', description: 'The name.', schema: { type: 'string' } },
      {
        name: 'address',
        description: 'The address. Default: all of the name.',
        schema: { type: 'string' },
      },
    ],
    success: 204,
    schema: undefined,
    body: undefined,
    handle: remove,
  },
];
