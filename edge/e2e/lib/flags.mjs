// Flags that the design leaves to the program.

export const FLAGS = {
  keyFile: '--jwt-key-file',
  jwksUrl: '--jwks-url',
  origins: '--origins',
};
