import { domainToASCII } from 'node:url';

/** A name, or `*.NAME`, in A-labels. A text that none can be made of is kept, for the message. */
export function asciiName(text: string): string {
  if (!/[^\x20-\x7e]/.test(text)) return text;
  const wildcard = text.startsWith('*.') ? '*.' : '';
  const name = domainToASCII(text.slice(wildcard.length));
  return name === '' ? text : `${wildcard}${name}`;
}
