/** This package's version, which workers and gateways tell. */
export const VERSION = '0.1.0'
