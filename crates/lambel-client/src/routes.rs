//! Every route of the interface.

use lambel_core::{
    ImageId, OperatorId, TaskId,
    api::{
        AddGold, AnnounceFiles, AudienceFields, AuditPage, BeginImport, BringAnswer, BringVotes, Claim, ClaimAnswer,
        CreateTask, GoldPage, GoldReceipts, GoldRemoval, Grants, ImagePage, ImageView, ImagesQuery, OperatorPage,
        OperatorQualityView, OperatorView, PageQuery, PauseInTaskView, PauseOperator, ResultPage, ReturnAnswer,
        ReturnLeases, SealTask, SubmitVotes, TaskPage, TaskView, VoteAnswer, WorkAnswer,
    },
};
use reqwest::Method;

use crate::{
    client::{Call, Client},
    error::{ClientError, Result},
};

/// For clients.
impl Client {
    /// Makes a task. This is the one call that is not repeated when no answer comes: it would make another
    /// task. Look at the list of tasks before trying again.
    pub async fn create_task(&self, request: &CreateTask) -> Result<TaskView> {
        self.call("TaskView", Call::post("/api/tasks", request)?.once()).await
    }

    /// A page of the caller's tasks, the newest first.
    pub async fn tasks(&self, page: &PageQuery) -> Result<TaskPage> {
        self.call("TaskPage", paged(Call::get("/api/tasks"), page)).await
    }

    /// A task with its progress.
    pub async fn task(&self, task: TaskId) -> Result<TaskView> {
        self.call("TaskView", Call::get(format!("/api/tasks/{task}"))).await
    }

    /// Calls a task off.
    pub async fn cancel_task(&self, task: TaskId) -> Result<TaskView> {
        self.call("TaskView", Call::new(Method::DELETE, format!("/api/tasks/{task}"))).await
    }

    /// Announces files that are about to be uploaded.
    pub async fn announce(&self, task: TaskId, request: &AnnounceFiles) -> Result<Grants> {
        let grants: Grants = self.call("Grants", Call::post(format!("/api/tasks/{task}/uploads"), request)?).await?;
        if grants.files.len() == request.files.len() {
            return Ok(grants);
        }
        let reason = format!("{} answers for {} files", grants.files.len(), request.files.len());
        Err(ClientError::Decode { expected: "Grants", reason })
    }

    /// Says how many distinct images a task has.
    pub async fn seal_task(&self, task: TaskId, request: &SealTask) -> Result<TaskView> {
        self.call("TaskView", Call::post(format!("/api/tasks/{task}/seal"), request)?).await
    }

    /// Tells a task of votes from outside that will be brought in.
    pub async fn begin_import(&self, task: TaskId, request: &BeginImport) -> Result<TaskView> {
        self.call("TaskView", Call::post(format!("/api/tasks/{task}/imports"), request)?).await
    }

    /// Brings in votes from outside.
    pub async fn bring_votes(&self, task: TaskId, request: &BringVotes) -> Result<BringAnswer> {
        let path = format!("/api/tasks/{task}/votes");
        let answer: BringAnswer = self.call("BringAnswer", Call::post(path, request)?).await?;
        if answer.votes.len() == request.votes.len() {
            return Ok(answer);
        }
        let reason = format!("{} answers for {} votes", answer.votes.len(), request.votes.len());
        Err(ClientError::Decode { expected: "BringAnswer", reason })
    }

    /// Says who may label a task.
    pub async fn set_audience(&self, task: TaskId, request: &AudienceFields) -> Result<TaskView> {
        let call = Call::new(Method::PUT, format!("/api/tasks/{task}/audience")).with(request)?;
        self.call("TaskView", call).await
    }

    /// A page of who did what with a task, the newest first.
    pub async fn task_audit(&self, task: TaskId, page: &PageQuery) -> Result<AuditPage> {
        self.call("AuditPage", paged(Call::get(format!("/api/tasks/{task}/audit")), page)).await
    }

    /// A page of a task's images.
    pub async fn images(&self, task: TaskId, query: &ImagesQuery) -> Result<ImagePage> {
        let state = query.state.map(|state| serde_json::to_value(state).unwrap_or_default());
        let call = Call::get(format!("/api/tasks/{task}/images"))
            .query("state", state.as_ref().and_then(|state| state.as_str()))
            .query("cursor", query.cursor.as_deref())
            .query("limit", query.limit);
        self.call("ImagePage", call).await
    }

    /// One image.
    pub async fn image(&self, task: TaskId, image: ImageId) -> Result<ImageView> {
        self.call("ImageView", Call::get(format!("/api/tasks/{task}/images/{image}"))).await
    }

    /// A page of a task's results.
    pub async fn results(&self, task: TaskId, page: &PageQuery) -> Result<ResultPage> {
        self.call("ResultPage", paged(Call::get(format!("/api/tasks/{task}/results")), page)).await
    }

    /// A page of a task's operators, and how far they agree.
    pub async fn task_operators(&self, task: TaskId, page: &PageQuery) -> Result<OperatorPage> {
        self.call("OperatorPage", paged(Call::get(format!("/api/tasks/{task}/operators")), page)).await
    }

    /// One operator of a task, with what they confuse.
    pub async fn task_operator(&self, task: TaskId, operator: &OperatorId) -> Result<OperatorQualityView> {
        self.call("OperatorQualityView", Call::get(format!("/api/tasks/{task}/operators/{operator}"))).await
    }

    /// Pauses an operator in one task: no claims and no votes there, and what they hold of it goes back.
    pub async fn pause_in_task(
        &self,
        task: TaskId,
        operator: &OperatorId,
        request: &PauseOperator,
    ) -> Result<PauseInTaskView> {
        let path = format!("/api/tasks/{task}/operators/{operator}/pause");
        self.call("PauseInTaskView", Call::new(Method::PUT, path).with(request)?).await
    }

    /// Lets an operator work in a task again.
    pub async fn resume_in_task(&self, task: TaskId, operator: &OperatorId) -> Result<PauseInTaskView> {
        let path = format!("/api/tasks/{task}/operators/{operator}/pause");
        self.call("PauseInTaskView", Call::new(Method::DELETE, path)).await
    }

    /// Makes images gold.
    pub async fn add_gold(&self, task: TaskId, request: &AddGold) -> Result<GoldReceipts> {
        let answer: GoldReceipts =
            self.call("GoldReceipts", Call::post(format!("/api/tasks/{task}/gold"), request)?).await?;
        if answer.gold.len() == request.gold.len() {
            return Ok(answer);
        }
        let reason = format!("{} answers for {} images", answer.gold.len(), request.gold.len());
        Err(ClientError::Decode { expected: "GoldReceipts", reason })
    }

    /// A page of a task's gold, with what operators made of it.
    pub async fn gold(&self, task: TaskId, page: &PageQuery) -> Result<GoldPage> {
        self.call("GoldPage", paged(Call::get(format!("/api/tasks/{task}/gold")), page)).await
    }

    /// Takes an image off the gold of a task.
    pub async fn remove_gold(&self, task: TaskId, image: ImageId) -> Result<GoldRemoval> {
        self.call("GoldRemoval", Call::new(Method::DELETE, format!("/api/tasks/{task}/gold/{image}"))).await
    }
}

/// For operators.
impl Client {
    /// Asks for subtasks. If the answer gets lost, the next claim hands out the same ones again.
    pub async fn claim(&self, request: &Claim) -> Result<ClaimAnswer> {
        self.call("ClaimAnswer", Call::post("/api/subtasks/claims", request)?).await
    }

    /// Casts votes.
    pub async fn vote(&self, request: &SubmitVotes) -> Result<VoteAnswer> {
        let answer: VoteAnswer = self.call("VoteAnswer", Call::post("/api/subtasks/labels", request)?).await?;
        if answer.votes.len() == request.votes.len() {
            return Ok(answer);
        }
        let reason = format!("{} answers for {} votes", answer.votes.len(), request.votes.len());
        Err(ClientError::Decode { expected: "VoteAnswer", reason })
    }

    /// Gives leases back.
    pub async fn return_leases(&self, request: &ReturnLeases) -> Result<ReturnAnswer> {
        self.call("ReturnAnswer", Call::new(Method::DELETE, "/api/subtasks/claims").with(request)?).await
    }

    /// What there is to label.
    pub async fn work(&self) -> Result<WorkAnswer> {
        self.call("WorkAnswer", Call::get("/api/subtasks/work")).await
    }
}

/// For admins.
impl Client {
    /// How an operator stands.
    pub async fn operator(&self, operator: &OperatorId) -> Result<OperatorView> {
        self.call("OperatorView", Call::get(format!("/api/operators/{operator}"))).await
    }

    /// Pauses an operator: no claims, no votes, and what they hold goes back.
    pub async fn pause_operator(&self, operator: &OperatorId, request: &PauseOperator) -> Result<OperatorView> {
        let call = Call::new(Method::PUT, format!("/api/operators/{operator}/pause")).with(request)?;
        self.call("OperatorView", call).await
    }

    /// Lets an operator work again.
    pub async fn resume_operator(&self, operator: &OperatorId) -> Result<OperatorView> {
        self.call("OperatorView", Call::new(Method::DELETE, format!("/api/operators/{operator}/pause"))).await
    }

    /// A page of who has paused an operator, and when, the newest first.
    pub async fn operator_audit(&self, operator: &OperatorId, page: &PageQuery) -> Result<AuditPage> {
        self.call("AuditPage", paged(Call::get(format!("/api/operators/{operator}/audit")), page)).await
    }
}

/// For everybody.
impl Client {
    /// The description of the interface, an OpenAPI document in JSON.
    pub async fn openapi(&self) -> Result<serde_json::Value> {
        self.call("OpenAPI document", Call::get("/openapi.json").open()).await
    }
}

pub(crate) fn paged(call: Call, page: &PageQuery) -> Call {
    call.query("cursor", page.cursor.as_deref()).query("limit", page.limit)
}
