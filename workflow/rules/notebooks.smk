# One rule, one notebook. The executed copy is a log, so that it is kept when the notebook fails.


def dataset(wildcards):
    return FOLDERS[wildcards.folder]


def trained(wildcards):
    return [f"{CURVES}/{wildcards.folder}/training/{cell}.csv" for cell in CELLS]


def log_of(name):
    return f"runs/notebooks/{PROFILE}/{{folder}}/{name}.ipynb"


# That files are there does not say that they were made by these notebooks: this does.
def made(name):
    return touch(f"runs/notebooks/{PROFILE}/{{folder}}/{name}.done")


rule overview:
    input: notebook="notebooks/00_overview.ipynb", library=LIBRARY
    output:
        results("fig05_dataset.png", "table1_environment.csv", "table2_hyperparameters.csv"),
        made("00_overview"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("00_overview")
    threads: 1
    shell: command()


rule train:
    input: notebook="notebooks/02_training.ipynb", library=LIBRARY
    output:
        [f"{CURVES}/{{folder}}/training/{{network}}-{{method}}-{{noise}}.{kind}" for kind in ("png", "csv")],
        made("02_training-{network}-{method}-{noise}"),
    params: parameters=PARAMETERS, dataset=dataset, network=lambda wildcards: NETWORKS[wildcards.network]
    log: log_of("02_training-{network}-{method}-{noise}")
    threads: 1
    priority: 1  # what everything else waits for
    resources: gpu=1
    shell: command(network="{params.network:q}", method="{wildcards.method:q}", noise="{wildcards.noise:q}", figures_folder=CURVES + "/{wildcards.folder:q}")


rule calibrate:
    input: trained, notebook="notebooks/01_noise_calibration.ipynb", library=LIBRARY
    output:
        results("fig04_noise.png", "fig06_noise_calibration.png", "fig06_noise_calibration.csv"),
        made("01_noise_calibration"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("01_noise_calibration")
    threads: 1
    resources: gpu=1
    shell: command()


rule heatmaps:
    input: trained, notebook="notebooks/03_heatmaps.ipynb", library=LIBRARY
    output:
        results("fig02_nt_heatmaps.png", "fig07_heatmap_grid.png", "fig09_cam_algorithms.png"),
        made("03_heatmaps"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("03_heatmaps")
    threads: 1
    resources: gpu=1
    shell: command()


rule interpretability:
    input: trained, notebook="notebooks/04_interpretability.ipynb", library=LIBRARY
    output:
        results("table3_interpretability.csv", "table3_interpretability.md", "table3_innt_against_nt.csv"),
        made("04_interpretability"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("04_interpretability")
    threads: 1
    resources: gpu=1
    shell: command()


rule accuracy:
    input: trained, notebook="notebooks/05_accuracy.ipynb", library=LIBRARY
    output:
        results("{number}_accuracy.csv", "{number}_accuracy.md"),
        made("05_accuracy-{number}"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("05_accuracy-{number}")
    threads: 1
    resources: gpu=1
    shell: command()


rule reproduction:
    input: trained, notebook="notebooks/06_reproduction.ipynb", library=LIBRARY
    output:
        results("reproduction.png", "reproduction_cells.csv", "reproduction_claims.csv"),
        made("06_reproduction"),
        executed=results("06_reproduction.ipynb"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("06_reproduction")
    threads: 1
    resources: gpu=1
    shell: command(keep="executed")


rule ablate:
    input: notebook="notebooks/07_ablations.ipynb", library=LIBRARY
    output:
        results(*(f"ablations/{question}_compared.csv" for question in QUESTIONS)),
        made("07_ablations"),
        executed=results("07_ablations.ipynb"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("07_ablations")
    threads: 1
    resources: gpu=1
    shell: command(keep="executed", network=config.get("ablations"))


rule robustness:
    input: trained, notebook="notebooks/08_cam_robustness.ipynb", library=LIBRARY
    output:
        results("corruptions.png", "robustness_by_cam.csv", "robustness_by_method.csv", "robustness_claims.csv"),
        made("08_cam_robustness"),
        executed=results("08_cam_robustness.ipynb"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("08_cam_robustness")
    threads: 1
    resources: gpu=1
    shell: command(keep="executed")


# This one and those after it train what they need themselves, and none of the grid's cells.
rule consistency:
    input: notebook="notebooks/09_explanation_consistency.ipynb", library=LIBRARY
    output:
        results("debiasing.png", "where_and_what.png", "consistency_results.csv", "consistency_claims.csv"),
        made("09_explanation_consistency"),
        executed=results("09_explanation_consistency.ipynb"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("09_explanation_consistency")
    threads: 1
    resources: gpu=1
    shell: command(keep="executed")


rule latent:
    input: notebook="notebooks/10_latent_neighbors.ipynb", library=LIBRARY
    output:
        results("generators.png", "methods.png", "latent_errors.csv", "latent_claims.csv"),
        made("10_latent_neighbors"),
        executed=results("10_latent_neighbors.ipynb"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("10_latent_neighbors")
    threads: 1
    resources: gpu=1
    shell: command(keep="executed")


rule neighborhoods:
    input: notebook="notebooks/11_neighborhoods.ipynb", library=LIBRARY
    output:
        results("everywhere.png", "fronts.png", "neighborhoods.csv", "neighborhood_summary.csv"),
        made("11_neighborhoods"),
        executed=results("11_neighborhoods.ipynb"),
    params: parameters=PARAMETERS, dataset=dataset
    log: log_of("11_neighborhoods")
    threads: 1
    resources: gpu=1
    shell: command(keep="executed")
