export * from '@taskfleet/protocol'
