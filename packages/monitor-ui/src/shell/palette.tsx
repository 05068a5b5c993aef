import { useNavigate } from '@tanstack/react-router'
import type { QueueRow, WorkerRow } from '@taskfleet/protocol'
import { useFleetClient, useLiveQuery } from '@taskfleet/react'
import { Command } from 'cmdk'
import { type ReactNode, useState } from 'react'
import { Dialog } from '../components/dialog.tsx'
import { Foreign } from '../components/foreign.tsx'
import { useAct } from '../components/use-act.ts'
import { type DrainAction, useDrain } from '../components/use-drain.ts'
import { usePauseQueue } from '../components/use-pause-queue.ts'
import type { PauseAction } from '../components/use-pause-schedules.ts'
import { useCan, useTaskNames } from '../live/hooks.ts'
import { QUEUES, WORKERS } from '../live/queries.ts'
import { useAsked } from '../live/use-asked.ts'
import { RANGES, type RangeName } from '../view/range.ts'
import type { TaskSearch } from '../view/task-search.ts'
import { taskTitle } from '../view/task-title.ts'
import { parseTokens, writeTokens } from '../view/task-tokens.ts'
import { DENSITIES, type Density } from './density.ts'
import { PAGES } from './pages.ts'
import { savedViews, searchOfView } from './saved-views.ts'
import { toggleTheme } from './theme.ts'
import { useUi } from './ui-context.ts'
import { useFirstRow } from './use-first-row.ts'
import { useRange } from './use-range.ts'

const FOUND = 6
const AN_ID = /^[0-9a-f]{24}$/i

/** Goes anywhere and does anything by a few letters: pages, tasks, queues, hosts, handlers, actions. */
export function Palette({ onClose }: { onClose: () => void }) {
  const client = useFleetClient()
  const navigate = useNavigate()
  const { change } = useRange()
  const { actAside } = useAct()
  const drain = useDrain()
  const pause = usePauseQueue()
  const open = useUi((ui) => ui.open)
  const setDensity = useUi((ui) => ui.setDensity)
  const mayWrite = useCan('write')
  const mayControl = useCan('control')
  const queues = useLiveQuery(QUEUES).rows
  const hosts = useLiveQuery(WORKERS).rows.filter(isServing)
  const names = useTaskNames()
  const [views] = useState(savedViews)
  const [text, setText] = useState('')
  const { list, row, setRow, onKeyDown, onPointerMove } = useFirstRow(text)
  const query = text.trim()
  const tokens = parseTokens(query)
  const { answer = [] } = useAsked(() => findTasks(query), { key: `palette ${query}`, active: query.length > 2 })

  async function findTasks(wanted: string) {
    if (AN_ID.test(wanted)) return (await client.tasks.list({ filter: { _id: wanted.toLowerCase() }, limit: 1 })).tasks
    if (tokens.problem !== undefined || tokens.search.q !== wanted || wanted.includes(':')) return []
    return (await client.tasks.list({ filter: { title: { $contains: wanted } }, sort: { _id: -1 }, limit: FOUND }))
      .tasks
  }
  const go = (act: () => unknown) => {
    onClose()
    void act()
  }
  return (
    <Dialog title="Search and act" onClose={onClose}>
      <Command
        label="Search and act"
        loop
        className="flex flex-col gap-2"
        value={row}
        onValueChange={setRow}
        onKeyDown={onKeyDown}
      >
        <Command.Input
          data-autofocus
          className="field w-full text-sm"
          placeholder="A page, a task, a host, an action, or status:failed name:encode"
          value={text}
          onValueChange={setText}
        />
        <Command.List ref={list} className="max-h-[55dvh] overflow-auto" onPointerMove={onPointerMove}>
          <Command.Empty className="px-2 py-3 text-dim">Nothing here has this name.</Command.Empty>
          <Group heading="Pages">
            {PAGES.map(({ to, label }) => (
              <Item key={to} value={`page ${label}`} onSelect={() => go(() => navigate({ to }))}>
                {label}
              </Item>
            ))}
          </Group>
          <Group heading="Views">
            {views.map((view) => (
              <Item
                key={view.name}
                value={`view ${view.name}`}
                onSelect={() => go(() => navigate({ to: '/tasks', search: searchOfView(view) as TaskSearch }))}
              >
                <Foreign text={view.name} max={60} />
              </Item>
            ))}
          </Group>
          <Group heading="Queues">
            {queues.map(({ _id, paused }) => (
              <Item
                key={_id}
                value={`queue ${_id}`}
                onSelect={() => go(() => navigate({ to: '/queues/$queue', params: { queue: _id } }))}
              >
                <Foreign text={_id} max={60} /> {paused && <span className="text-warn">paused</span>}
              </Item>
            ))}
          </Group>
          <Group heading="Hosts">
            {hosts.map(({ _id, name }) => (
              <Item
                key={_id}
                value={`host ${name} ${_id}`}
                onSelect={() => go(() => navigate({ to: '/hosts/$host', params: { host: name } }))}
              >
                <Foreign text={name} max={60} />
              </Item>
            ))}
          </Group>
          <Group heading="Handlers">
            {names.map((name) => (
              <Item
                key={name}
                value={`handler ${name}`}
                onSelect={() => go(() => navigate({ to: '/tasks', search: { name } }))}
              >
                <Foreign text={name} max={60} />
              </Item>
            ))}
          </Group>
          <Group heading="Actions">
            {mayWrite && (
              <Item value="action new task" onSelect={() => open('new')}>
                New task
              </Item>
            )}
            {mayControl &&
              hosts.map((host) => (
                <Item
                  key={host._id}
                  value={`action ${drainOf(host)} ${host.name} ${host._id}`}
                  onSelect={() => go(() => actAside(() => drain(drainOf(host), [host])))}
                >
                  {drainOf(host) === 'resume' ? 'Resume' : 'Drain'} <Foreign text={host.name} max={60} />
                </Item>
              ))}
            {mayControl &&
              queues.map((queue) => (
                <Item
                  key={queue._id}
                  value={`action ${pauseOf(queue)} queue ${queue._id}`}
                  onSelect={() => go(() => actAside(() => pause(pauseOf(queue), queue._id, queue)))}
                >
                  {queue.paused ? 'Resume' : 'Pause'} the queue <Foreign text={queue._id} max={60} />
                </Item>
              ))}
            <Item
              value="action wall mode full screen"
              onSelect={() => go(() => navigate({ to: '/', search: { wall: '1' } }))}
            >
              Wall mode: the page Now without its frame
            </Item>
            {(Object.keys(RANGES) as RangeName[]).map((range) => (
              <Item key={range} value={`action show ${RANGES[range].label}`} onSelect={() => go(() => change(range))}>
                Show the {RANGES[range].label.toLowerCase()}
              </Item>
            ))}
            <Item value="action light or dark theme" onSelect={() => go(toggleTheme)}>
              Light or dark
            </Item>
            {(Object.keys(DENSITIES) as Density[]).map((density) => (
              <Item
                key={density}
                value={`action rows density ${density}`}
                onSelect={() => go(() => setDensity(density))}
              >
                Rows: {DENSITIES[density].toLowerCase()}
              </Item>
            ))}
            <Item value="action keyboard shortcuts" onSelect={() => open('shortcuts')}>
              Keyboard shortcuts
            </Item>
            <Item value="action key and preferences theme density zone" onSelect={() => open('preferences')}>
              Key and preferences
            </Item>
          </Group>
          {query !== '' && (
            <Group heading="Tasks">
              <Item
                value={`search ${query}`}
                keywords={[query]}
                onSelect={() => go(() => navigate({ to: '/tasks', search: tokens.search }))}
              >
                Tasks with <code className="font-mono">{writeTokens(tokens.search)}</code>
              </Item>
              {answer.map((task) => (
                <Item
                  key={task._id}
                  value={`task ${task._id}`}
                  keywords={[query]}
                  onSelect={() => go(() => navigate({ to: '/tasks/$id', params: { id: task._id } }))}
                >
                  <Foreign text={taskTitle(task)} max={80} /> <span className="text-dim">{task.status}</span>
                </Item>
              ))}
            </Group>
          )}
        </Command.List>
      </Command>
    </Dialog>
  )
}

const drainOf = ({ state }: WorkerRow): DrainAction => (state === 'draining' ? 'resume' : 'drain')

const pauseOf = ({ paused }: QueueRow): PauseAction => (paused ? 'resume' : 'pause')

const isServing = ({ role, state }: WorkerRow): boolean =>
  role === 'worker' && (state === 'running' || state === 'draining')

function Group({ heading, children }: { heading: string; children: ReactNode }) {
  return (
    <Command.Group
      heading={heading}
      className="[&_[cmdk-group-heading]]:px-2 [&_[cmdk-group-heading]]:pt-2 [&_[cmdk-group-heading]]:pb-1 [&_[cmdk-group-heading]]:text-[11px] [&_[cmdk-group-heading]]:font-semibold [&_[cmdk-group-heading]]:text-dim"
    >
      {children}
    </Command.Group>
  )
}

interface ItemProps {
  value: string
  keywords?: string[]
  onSelect: () => void
  children: ReactNode
}

function Item({ children, ...props }: ItemProps) {
  return (
    <Command.Item
      {...props}
      className="flex min-h-8 cursor-pointer items-center gap-1.5 rounded-md px-2 aria-selected:bg-raised"
    >
      {children}
    </Command.Item>
  )
}
