import type { KeyRow } from '@taskfleet/protocol'
import { useFleetClient, useServerTime } from '@taskfleet/react'
import { Pencil, Plus, Trash2 } from 'lucide-react'
import { useEffect, useRef, useState } from 'react'
import { Ago } from '../components/ago.tsx'
import { ConfirmDialog } from '../components/confirm-dialog.tsx'
import { Copyable } from '../components/copy.tsx'
import { Foreign } from '../components/foreign.tsx'
import { IconButton } from '../components/icon-button.tsx'
import type { MadeKey } from '../components/key-dialog.tsx'
import { EmptyNote, RowsProblem } from '../components/notes.tsx'
import { CELL, Table } from '../components/table.tsx'
import { useCan, useLimited } from '../live/hooks.ts'
import { useAsked } from '../live/use-asked.ts'
import { KeyDialog } from '../shell/dialogs.tsx'
import { useOwnKey } from '../shell/own-key.ts'
import { useUi } from '../shell/ui-context.ts'
import { formatAge, formatTime } from '../view/format.ts'
import { byUse, KEY_LOOK, keyView } from '../view/key-state.ts'
import { visibleLine } from '../view/text.ts'

const AGAIN_MS = 10_000

const COLUMNS = [
  { title: 'Name' },
  { title: 'State' },
  { title: 'Scopes' },
  { title: 'Queues' },
  { title: 'Names' },
  { title: 'Expires' },
  { title: 'Action', number: true },
]

type Opened = { dialog: 'make' } | { dialog: 'edit' | 'revoke'; key: KeyRow }

/** Who may do what in this fleet, for those who may decide it. */
export function KeysPage() {
  const { welcome } = useFleetClient()
  // Looked at again with every tick, as what the gateway says of the key comes just after the connection.
  useServerTime()
  const isAdmin = useCan('admin')
  const isLimited = useLimited()
  // Here and not below, because what a key may is not known while the page goes over to the first key.
  const [made, setMade] = useState<MadeKey>()
  return (
    <div className="mx-auto flex w-full max-w-[1400px] flex-col gap-3 p-3 sm:p-4">
      {made !== undefined && <Token made={made} onDone={() => setMade(undefined)} />}
      {isAdmin && !isLimited ? (
        <Keys onMade={setMade} />
      ) : (
        <>
          <h1 className="text-base font-semibold">Keys</h1>
          {welcome === undefined ? (
            <EmptyNote title="Asking the gateway…" />
          ) : (
            <EmptyNote title="This key may not touch keys">
              {isAdmin
                ? 'It is limited to some queues or names, and keys are of none of them.'
                : 'That needs a key with the scope admin, which is not limited to queues or names.'}
            </EmptyNote>
          )}
        </>
      )}
    </div>
  )
}

function Keys({ onMade }: { onMade: (made: MadeKey) => void }) {
  const client = useFleetClient()
  const own = useOwnKey()
  const toast = useUi((ui) => ui.toast)
  const now = useServerTime()
  const { answer, error, tryAgain } = useAsked(() => client.keys.list(), { key: 'keys', everyMs: AGAIN_MS })
  const [opened, setOpened] = useState<Opened>()
  const isFirst = answer?.length === 0
  const close = () => setOpened(undefined)
  const told = (text: string) => {
    toast({ kind: 'good', text })
    tryAgain()
  }
  return (
    <>
      <div className="flex min-h-8 flex-wrap items-center gap-x-4 gap-y-2">
        <h1 className="text-base font-semibold">Keys</h1>
        <p className="text-dim max-sm:hidden">Who may do what; changes hold for what is open within a second.</p>
        <button
          type="button"
          className="button button-solid ml-auto"
          disabled={answer === undefined}
          onClick={() => setOpened({ dialog: 'make' })}
        >
          <Plus size={14} aria-hidden /> Make a key
        </button>
      </div>
      <RowsProblem views={[{ error, tryAgain }]} />
      {answer === undefined && error === undefined && <EmptyNote title="Asking the gateway…" />}
      {isFirst && (
        <EmptyNote title="There is no key yet">
          This computer may do everything, and no other one gets in. With the first key the fleet is locked.
        </EmptyNote>
      )}
      {answer !== undefined && answer.length > 0 && (
        <Table label="Keys" columns={COLUMNS}>
          {byUse(answer).map((key) => (
            <KeyTableRow key={key.id} of={key} now={now} isOwn={key.id === own.id} onOpen={setOpened} />
          ))}
        </Table>
      )}
      {opened?.dialog === 'make' && (
        <KeyDialog
          of={isFirst ? 'first' : 'new'}
          onMade={(one) => {
            onMade(one)
            // Without it the page would be shut out as everybody else.
            if (isFirst) own.change(one.token)
            told(`Made the key ${one.name}`)
          }}
          onChanged={told}
          onClose={close}
        />
      )}
      {opened?.dialog === 'edit' && (
        <KeyDialog
          of={opened.key}
          onMade={onMade}
          onChanged={(name) => told(`Changed the key ${name}`)}
          onClose={close}
        />
      )}
      {opened?.dialog === 'revoke' && (
        <ConfirmDialog
          title="Revoke this key?"
          confirm="Revoke it"
          run={async () => {
            await client.keys.revoke({ id: opened.key.id })
            told(`Revoked the key ${opened.key.name}`)
          }}
          onClose={close}
        >
          <Foreign text={opened.key.name} max={100} className="font-medium" /> opens nothing any more: the pages and
          programs that use it are cut off within a second, with their sessions and the sockets of the tasks they watch.
          Tasks that it enqueued stay. It can’t be made good again.
          {opened.key.id === own.id && (
            <strong className="mt-2 block text-bad">This page was opened with it, and ends too.</strong>
          )}
        </ConfirmDialog>
      )}
    </>
  )
}

/** A new key's token, until it is said to be stored somewhere: nothing closes it by accident. */
function Token({ made: { name, token }, onDone }: { made: MadeKey; onDone: () => void }) {
  const ref = useRef<HTMLElement>(null)
  useEffect(() => {
    // After the dialog, which gives the focus back to where it came from.
    const frame = requestAnimationFrame(() => ref.current?.focus())
    return () => cancelAnimationFrame(frame)
  }, [])
  return (
    <section
      ref={ref}
      tabIndex={-1}
      aria-label="The new key"
      data-testid="made-key"
      className="panel flex flex-wrap items-center gap-x-4 gap-y-2 border-warn p-3"
    >
      <div className="min-w-0 flex-1 basis-80">
        <p className="mb-1">
          The key <Foreign text={name} max={100} className="font-medium" />:{' '}
          <span className="font-medium text-warn">copy it now, it is not shown again.</span>
        </p>
        <Copyable text={token} label="the key" />
      </div>
      <button type="button" className="button" onClick={onDone}>
        I have stored it
      </button>
    </section>
  )
}

interface RowProps {
  of: KeyRow
  now: number
  isOwn: boolean
  onOpen: (opened: Opened) => void
}

function KeyTableRow({ of: key, now, isOwn, onOpen }: RowProps) {
  const { id, name, state, scopes, queues, names, createdAt, expiresAt, revokedAt } = key
  const view = keyView(key, now)
  const { icon: Icon, label, tone } = KEY_LOOK[view]
  return (
    <tr data-testid="key-row" data-key={id} data-state={view}>
      <td className={`${CELL} min-w-40`}>
        <Foreign text={name} max={100} className="font-medium" />
        {isOwn && <span className="text-xs text-dim"> · this page</span>}
        <span className="block text-[11px] whitespace-nowrap text-dim">
          <code className="font-mono">{visibleLine(id, 40)}</code>, made <Ago at={createdAt} now={now} />
        </span>
      </td>
      <td className={`${CELL} whitespace-nowrap`}>
        <span className={`inline-flex items-center gap-1.5 font-medium ${tone}`}>
          <Icon size={14} aria-hidden /> {label}
        </span>
        {revokedAt !== undefined && (
          <span className="block text-xs text-dim">
            <Ago at={revokedAt} now={now} />
          </span>
        )}
      </td>
      <td className={`${CELL} min-w-24`}>{scopes.join(', ')}</td>
      <td className={`${CELL} min-w-20`}>
        <Limits to={queues} />
      </td>
      <td className={`${CELL} min-w-20`}>
        <Limits to={names} />
      </td>
      <td className={`${CELL} whitespace-nowrap`}>
        <Ends at={expiresAt} now={now} />
      </td>
      {/* In reach also where the table has to be scrolled. */}
      <td className={`${CELL} sticky right-0 bg-panel text-right whitespace-nowrap`}>
        {state !== 'revoked' && (
          <>
            <IconButton
              icon={Pencil}
              label={`Edit ${visibleLine(name, 60)}`}
              title="Edit…"
              onClick={() => onOpen({ dialog: 'edit', key })}
            />
            <IconButton
              icon={Trash2}
              label={`Revoke ${visibleLine(name, 60)}`}
              title="Revoke…"
              danger
              onClick={() => onOpen({ dialog: 'revoke', key })}
            />
          </>
        )}
      </td>
    </tr>
  )
}

function Limits({ to }: { to: readonly string[] | undefined }) {
  if (to === undefined) return <span className="text-dim">all</span>
  return <Foreign text={to.join(', ')} max={160} />
}

function Ends({ at, now }: { at: string | undefined; now: number }) {
  if (at === undefined) return <span className="text-dim">never</span>
  const left = Date.parse(at) - now
  if (left <= 0) return <Ago at={at} now={now} />
  return (
    <time dateTime={at} title={formatTime(at)}>
      in {formatAge(left)}
    </time>
  )
}
