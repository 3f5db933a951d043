//! A replica set of several members, to be broken on purpose.

use std::time::Duration;

use mongodb::bson::doc;
use tokio::sync::watch;

use crate::process::{self, Process, SET, until, until_written};
use crate::wire::{Cut, Wire, Withheld};
use crate::{ServerError, system};

/// How soon a primary that is silent is replaced.
const ELECTION: Duration = Duration::from_secs(2);
const HEARTBEAT: Duration = Duration::from_millis(500);

/// A replica set on loopback. It ends with the value, and with the thread that started it.
pub struct ReplicaSet {
    members: Vec<Process>,
    wires: Vec<Wire>,
    cut: watch::Sender<Cut>,
    /// The last order under which an answer was withheld.
    withheld: watch::Sender<u64>,
}

impl ReplicaSet {
    /// Starts it, and waits until it takes writes.
    ///
    /// # Errors
    /// Where there is no program, or it does not start.
    pub async fn start(members: usize) -> Result<Self, ServerError> {
        let cut = watch::Sender::new(Cut::default());
        let withheld = watch::Sender::new(0);
        let mut set = Self { members: Vec::new(), wires: Vec::new(), cut, withheld };
        for index in 0..members.max(1) {
            let member = Process::start()?;
            let wire = Wire::to(index, member.port, set.cut.subscribe(), set.withheld.clone()).await;
            set.wires.push(wire.map_err(system("making the way to a member"))?);
            set.members.push(member);
        }
        let silent = set.members[0].silent();
        for member in &set.members {
            until(async || member.run(doc! { "ping": 1 }).await).await.map_err(&silent)?;
        }
        let addresses: Vec<_> = set.wires.iter().map(|wire| wire.address.clone()).collect();
        set.members[0].initiate(&addresses, ELECTION, HEARTBEAT).await?;
        until_written(&set.uri("admin")).await.map_err(&silent)?;
        Ok(set)
    }

    /// The URI of a database on it.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        let hosts: Vec<_> = self.wires.iter().map(|wire| wire.address.as_str()).collect();
        format!("mongodb://{}/{database}?replicaSet={SET}", hosts.join(","))
    }

    /// How many members there are, dead ones included.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Waits for a member that takes writes, and that nobody has frozen. Of several that think so, the one elected last.
    ///
    /// # Errors
    /// Where none comes.
    pub async fn primary(&self) -> Result<usize, ServerError> {
        until(async || {
            let mut latest = None;
            for (index, member) in
                self.members.iter().enumerate().filter(|(_, member)| member.pid().is_some())
            {
                let asking = member.run(doc! { "hello": 1 });
                let Ok(Ok(hello)) = tokio::time::timeout(Duration::from_secs(2), asking).await else {
                    continue;
                };
                if hello.get_bool("isWritablePrimary").unwrap_or_default() {
                    latest = latest.max(Some((hello.get_object_id("electionId").ok(), index)));
                }
            }
            latest.map(|(_, index)| index).ok_or(ServerError::NoPrimary)
        })
        .await
    }

    /// Makes the primary step down, so that another is elected. Returns which one it was.
    ///
    /// # Errors
    /// Where it cannot be made to.
    pub async fn step_down(&self) -> Result<usize, ServerError> {
        // One that finds no other that has caught up is asked again.
        until(async || {
            let primary = self.primary().await?;
            let member = &self.members[primary];
            let down = doc! { "replSetStepDown": 10, "secondaryCatchUpPeriodSecs": 5 };
            member.run(down).await.map_err(member.silent())?;
            Ok(primary)
        })
        .await
    }

    /// Ends a member as a power cut does.
    pub fn kill(&mut self, index: usize) {
        self.members[index].kill();
    }

    /// Starts a member again on its data, and waits until it answers.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn restart(&mut self, index: usize) -> Result<(), ServerError> {
        let member = &mut self.members[index];
        member.spawn()?;
        until(async || member.run(doc! { "ping": 1 }).await).await.map(drop).map_err(member.silent())
    }

    /// Makes a member stand still: its connections stay open, and nothing is answered.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn freeze(&self, index: usize) -> Result<(), ServerError> {
        self.members[index].pid().map_or(Ok(()), process::freeze)
    }

    /// Lets a frozen member go on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn thaw(&self, index: usize) -> Result<(), ServerError> {
        self.members[index].pid().map_or(Ok(()), process::thaw)
    }

    /// Cuts a member off from everybody, the other members included.
    pub fn cut_off_member(&self, index: usize) {
        self.cut.send_modify(|cut| {
            cut.members.insert(index);
            cut.pids.extend(self.members[index].pid());
        });
    }

    /// Cuts a client off from every member.
    pub fn cut_off(&self, pid: u32) {
        self.cut.send_modify(|cut| {
            cut.pids.insert(pid);
        });
    }

    /// Lets a client through again: what it had under way arrives.
    pub fn reconnect(&self, pid: u32) {
        self.cut.send_modify(|cut| {
            cut.pids.remove(&pid);
        });
    }

    /// Lets everybody through again.
    pub fn reconnect_all(&self) {
        self.cut.send_replace(Cut::default());
    }

    /// From now on the answers to this command are withheld: it is carried out, and nobody knows. Connections whose
    /// answers were withheld before are hung up.
    pub fn withhold_answers_to(&self, word: &'static str) {
        let number = *self.withheld.borrow() + 1;
        self.cut.send_modify(|cut| cut.withheld = Some(Withheld { word, number }));
    }

    /// Waits until an answer is withheld that was asked for since.
    pub async fn until_withheld(&self) {
        let order = self.cut.borrow().withheld.map_or(0, |order| order.number);
        // The sender is here as well.
        let _ = self.withheld.subscribe().wait_for(|last| *last >= order).await;
    }

    /// Hangs up the connections whose answers were withheld, and lets the next answers pass.
    pub fn hang_up(&self) {
        self.cut.send_modify(|cut| cut.withheld = None);
    }
}
