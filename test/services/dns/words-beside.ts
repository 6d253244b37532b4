/** Queries for a name, and in all of them another one, where only its asker and the server look. */
import { type Answer, encode, RECURSION_DESIRED } from 'dns-packet';

const SECRET = 'secret.evil.test';
const OPTION_LOCAL = 65_001; // RFC 6891 §9

const record: Answer = { type: 'TXT', name: SECRET, ttl: 1, data: SECRET };
const opt = (options: readonly object[]): Answer =>
  ({
    ...{ type: 'OPT', name: '.', udpPayloadSize: 1232, extendedRcode: 0, ednsVersion: 0 },
    ...{ flags: 0x8000, flag_do: true, options },
  }) as Answer;

/** @returns what it is in, and the query */
export const wordsBeside = (name: string): readonly (readonly [where: string, Buffer])[] => {
  const asked = (records: object): Buffer =>
    encode({
      ...{ type: 'query', id: 7, flags: RECURSION_DESIRED, questions: [{ type: 'A', name }] },
      ...records,
    });
  return [
    ['an answer', asked({ answers: [record] })],
    ['an authority', asked({ authorities: [record] })],
    ['an additional record', asked({ additionals: [opt([]), record] })],
    [
      'an option',
      asked({ additionals: [opt([{ code: OPTION_LOCAL, data: Buffer.from(SECRET) }])] }),
    ],
    ['bytes behind the message', Buffer.concat([asked({}), Buffer.from(SECRET)])],
  ];
};
