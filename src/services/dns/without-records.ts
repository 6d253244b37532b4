/** Replies with some of their records left out. */
import {
  type DnsQuery,
  dnsFlags,
  dnsRcode,
  eachRecord,
  FLAG_AD,
  NOERROR,
  type RecordAt,
  type Section,
  TYPE_CNAME,
  TYPE_DNAME,
  TYPE_RRSIG,
  TYPE_SOA,
  u16,
} from './message.ts';
import { MessageWriter, type NewRecord } from './message-writer.ts';
import { soaRecord } from './soa.ts';
import { expandName } from './wire-name.ts';

/** `undefined`: the record stays; otherwise what comes in its place. */
export type Edit = (record: RecordAt) => 'left-out' | NewRecord | undefined;

/**
 * A reply without records that stays one which can be remembered: with an SOA where it has no data any more, and without AD,
 * because nobody has verified what is left.
 *
 * @param reply one to `query`; `edit` has an objection to one of its records
 * @returns undefined when it is malformed
 */
export function withoutRecords(
  query: DnsQuery,
  reply: Uint8Array,
  edit: Edit,
): Uint8Array | undefined {
  const { questionEnd, bytes } = query;
  const question = bytes.subarray(12, questionEnd);
  const writer = new MessageWriter(reply, question);
  let section: Section = 'answer';
  let emptied: Uint8Array | undefined;
  let hasData = false;
  let hasSoa = false;
  const closeAnswers = (): void => {
    if (emptied === undefined || hasData || hasSoa || dnsRcode(reply) !== NOERROR) return;
    writer.add('authority', soaRecord(emptied));
    emptied = undefined;
  };
  const isSound = eachRecord(reply, (record) => {
    if (record.section === 'additional' && section !== 'additional') closeAnswers();
    section = record.section;
    const edited = edit(record);
    if (edited === undefined) {
      hasData ||= section === 'answer' && isData(record);
      hasSoa ||= section === 'authority' && record.type === TYPE_SOA;
      writer.copy(reply, record);
    } else if (edited === 'left-out') {
      if (section === 'answer') emptied ??= expandName(reply, record.off);
    } else {
      hasData ||= section === 'answer';
      writer.add(section, edited);
    }
  });
  closeAnswers();
  return isSound ? writer.finish(dnsFlags(reply) & ~FLAG_AD) : undefined;
}

const isData = ({ type }: RecordAt): boolean =>
  type !== TYPE_CNAME && type !== TYPE_DNAME && type !== TYPE_RRSIG;

/** The type whose records a signature covers (RFC 4034 §3.1.1); undefined for what is no signature. */
export const coveredType = (
  message: Uint8Array,
  { type, dataOff, dataLen }: RecordAt,
): number | undefined => (type === TYPE_RRSIG && dataLen >= 2 ? u16(message, dataOff) : undefined);
