export * from '@taskfleet/testkit'
