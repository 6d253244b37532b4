/** That of package.json; a test compares them. Not read from there: a program may have hawser in its bundle. */
export const VERSION = '0.1.0';

export const packageVersion = (): string => VERSION;
