/** `hawser dns`: names that a running daemon's DNS is given addresses of. */
import { dnsRecordSchema, dnsRecordsSchema } from '../../control/dns-routes.ts';
import { UsageError } from '../../network/errors.ts';
import { table } from '../text-table.ts';
import { clientOf, type InspectRequest, toJson } from './inspect.ts';

export interface DnsRequest extends InspectRequest {
  /** `list`, `add NAME IP`, `remove NAME [IP]`. */
  readonly args: readonly string[];
}

const PATH = '/v1/dns/records';

/** @returns what to print */
export async function dnsCommand(request: DnsRequest): Promise<string> {
  const [action = '', name, address, more] = request.args;
  const client = clientOf(request);
  if (action === 'list' && name === undefined) {
    const { records } = await client.get(PATH, dnsRecordsSchema);
    if (request.json) return toJson({ records });
    if (records.length === 0) return 'No records.\n';
    return table(
      ['name', 'address'],
      records.map((record) => [record.name, record.address]),
    );
  }
  if (action === 'add' && name !== undefined && address !== undefined && more === undefined) {
    const record = await client.post(PATH, dnsRecordSchema, { name, address });
    return request.json ? toJson(record) : `${record.name} is ${record.address}.\n`;
  }
  if (action === 'remove' && name !== undefined && more === undefined) {
    const query = new URLSearchParams({ name, ...(address === undefined ? {} : { address }) });
    await client.delete(`${PATH}?${query.toString()}`);
    return '';
  }
  throw new UsageError(['dns: must be list, add NAME IP, or remove NAME [IP]']);
}
