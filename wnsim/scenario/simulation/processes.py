"""Processes of a run: background traffic, and learning or scheduled exchanges.

A run executes them to their end, a forecast through its first round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wnsim.core.invariants import EnergyMonotonicityCheck
from wnsim.network.energy_ledger import EnergyLedger
from wnsim.scenario.errors import ScenarioError

if TYPE_CHECKING:
    import simpy

    from fl.session import Session
    from fl.trainer import Trainer
    from wnsim.network import Network
    from wnsim.scenario.simulation.learning import Learner
    from wnsim.scenario.spec.schema import Scenario
    from wnsim.world import World

Tell = Callable[[int, int, float | None], None]
"""Receives each finished round: number, number of rounds, mean accuracy."""


@dataclass(frozen=True)
class Processes:
    """Processes of a run, which have been started.

    Parameters
    ----------
    network : network whose clock they run on
    over : event at the end of the run
    ledger, energy_check : energy of the devices, and its check; None without a section `energy`
    trainer, session : learning; None without a section `fl`
    """

    network: Network
    over: simpy.Event
    ledger: EnergyLedger | None = None
    energy_check: EnergyMonotonicityCheck | None = None
    trainer: Trainer | None = None
    session: Session | None = None

    def run_until(self, until: simpy.Event) -> None:
        """Run the simulation until an event, at the latest the end of the run.

        Raises
        ------
        ValueError
            if a user-defined protocol does not come to it, or ends without a record of its rounds
        """
        if self.session is None:
            self.network.env.run(until=until)
            return
        from fl.session.completion import check_recorded, run_until

        run_until(self.session, until)
        if self.over.processed:
            check_recorded(self.session)

    def check_energy(self) -> None:
        """Check that no energy spent has decreased.

        Raises
        ------
        InvariantError
            if it has
        """
        if self.ledger is not None and self.energy_check is not None:
            self.energy_check.check(self.ledger.spent_j(), self.network.now_s)


def start(
    scenario: Scenario, world: World, network: Network, tell: Tell, learner: Learner
) -> Processes:
    """Start the processes of a scenario.

    Parameters
    ----------
    scenario, world, network : scenario, its world and its network
    tell : receives each finished round
    learner : makes the trainer and the session

    Raises
    ------
    ScenarioError
        if there is nothing to simulate, or the model does not fit the scenario
    """
    ledger = check = None
    if scenario.energy is not None:
        ledger = EnergyLedger(scenario.energy, network, world.tx_power_w[: world.count])
        check = EnergyMonotonicityCheck(world.names)
    for number, background in enumerate(scenario.background):
        background.start(network, world.count, scenario.seed_of("channel"), number)

    def ended(number: int, rounds: int, accuracy: float | None = None) -> None:
        if ledger is not None and check is not None:
            check.check(ledger.record(), network.now_s)
        tell(number, rounds, accuracy)

    if scenario.fl is not None:
        learning = scenario.fl

        def report(number: int, time_s: float, accuracy: float | None) -> None:
            ended(number, learning.rounds, accuracy)

        def compute_time_s(device: int, flops: float) -> float:
            if ledger is not None:
                ledger.flops[device] += flops
            return world.compute_time_s(device, flops, network.now_s)

        trainer, session = learner.learn(scenario, network, compute_time_s, world.count, report)
        return Processes(network, session.done, ledger, check, trainer, session)
    if scenario.traffic is not None:
        traffic = scenario.traffic
        ended(0, traffic.rounds)
        process = traffic.process(network, lambda number: ended(number, traffic.rounds))
        return Processes(network, network.env.process(process), ledger, check)
    raise ScenarioError("there is nothing to simulate: give a section fl, or traffic")
