/** A program that looks a name up, by the resolvers of two C libraries. */
import { writeFileSync } from 'node:fs';
import type { Lab } from './lab.ts';
import { succeed } from './processes.ts';

/** Prints the addresses of a name, in the order in which a program would try them. */
const LOOKUP = `
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
int main(int argc, char **argv) {
  struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list;
  int error = argc == 2 ? getaddrinfo(argv[1], "80", &hints, &list) : EAI_FAIL;
  if (error) { puts(error == EAI_NONAME ? "no name" : gai_strerror(error)); return 0; }
  for (; list; list = list->ai_next) {
    char text[64];
    getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST);
    puts(text);
  }
}`;

export interface LookupPrograms {
  readonly glibc: readonly string[];
  /** Linked statically. */
  readonly musl: readonly string[];
}

export async function lookupPrograms(lab: Lab): Promise<LookupPrograms> {
  const source = lab.path('lookup.c');
  writeFileSync(source, LOOKUP);
  await succeed(['gcc', '-o', lab.path('glibc'), source]);
  await succeed(['musl-gcc', '-static', '-o', lab.path('musl'), source]);
  return { glibc: [lab.path('glibc')], musl: [lab.path('musl')] };
}
